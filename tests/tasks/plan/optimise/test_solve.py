"""The choice of columns, held against every choice there is."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from storage.records import Candidate
from tasks.plan.optimise.allocation_limits import Allocation, Limits
from tasks.plan.optimise.columns import Column
from tasks.plan.optimise.solve import solve_greedy, solve_milp, utility
from tasks.plan.valuation.value import Worth

N_SLOTS = 3
NOT_LOOKED_AT = Worth(np.zeros(N_SLOTS), np.zeros(N_SLOTS), np.zeros(N_SLOTS), 1.0, 0.0)


def crowd(seed: int, n_goals: int = 5) -> tuple[list[Column], Limits]:
    """Return goals that want few targets in few slots, each at a value of its own."""
    rng = np.random.default_rng(seed)
    columns = [
        Column(
            goal_id=f"g{goal}",
            serves=(f"g{goal}",),
            candidate=Candidate(action=f"a{offer}", target=f"t{target}"),
            slot=slot,
            value=float(rng.uniform(0.1, 1.0)),
            own_value=0.0,
            worth=NOT_LOOKED_AT,
            resources=((f"target:t{target}", 2),),
            offer=f"a{offer}",
        )
        for goal in range(n_goals)
        for offer, target in enumerate(rng.integers(0, 2, size=2))
        for slot in range(N_SLOTS)
    ]
    return columns, Limits((2, 1, 2))


def best_of_all(columns: list[Column], limits: Limits) -> float:
    """Return the greatest total value by trying every choice of at most one column a goal."""
    by_goal: dict[str, list[int | None]] = {}
    for index, column in enumerate(columns):
        by_goal.setdefault(column.goal_id, [None]).append(index)
    best = 0.0
    for choice in product(*by_goal.values()):
        chosen = [index for index in choice if index is not None]
        if fits(columns, limits, chosen):
            best = max(best, utility(columns, chosen))
    return best


def fits(columns: list[Column], limits: Limits, chosen: list[int]) -> bool:
    """Tell by the drawing's own rules, which know no programme, whether columns go together."""
    taken = Allocation(limits)
    for index in chosen:
        if taken.clash(columns[index]) is not None:
            return False
        taken.add(columns[index])
    return True


@pytest.mark.parametrize("seed", range(8))
def test_the_programme_finds_the_best_of_all_choices_to_within_half_a_percent(seed: int) -> None:
    columns, limits = crowd(seed, n_goals=4)
    chosen = solve_milp(columns, limits)
    assert fits(columns, limits, chosen)
    assert utility(columns, chosen) >= 0.995 * best_of_all(columns, limits)


@pytest.mark.parametrize("seed", range(8))
def test_the_greedy_choice_fits_and_is_hardly_worse(seed: int) -> None:
    columns, limits = crowd(seed, n_goals=12)
    chosen, best = solve_greedy(columns, limits), solve_milp(columns, limits)
    assert fits(columns, limits, chosen)
    assert utility(columns, chosen) >= 0.95 * utility(columns, best)


def test_a_relaxation_that_is_no_whole_choice_is_searched_further() -> None:
    # Three goals, each pair of which shares a target: half of each is worth 1.5 to the relaxation, one is what fits.
    shared = {"g0": ("x", "y"), "g1": ("y", "z"), "g2": ("z", "x")}
    columns = [
        crowd(0)[0][0]._replace(
            goal_id=goal_id,
            serves=(goal_id,),
            slot=0,
            value=value,
            resources=tuple((f"target:{each}", 1) for each in targets),
        )
        for (goal_id, targets), value in zip(shared.items(), (1.0, 1.1, 0.9), strict=True)
    ]
    assert solve_milp(columns, Limits((3,))) == [1]
