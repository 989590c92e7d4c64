"""Choose columns: a binary programme, and the greedy choice that stands in for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.records import FloatArray
from tasks.plan.optimise.allocation_limits import ROUNDING, Allocation, Limits
from tasks.plan.optimise.columns import Column

_TIME_LIMIT_S = 0.5
_GAP_RATIO = 0.005
_MOST_PRICES = 20
_PRICE_DECAY = 0.97
_MOST_EXCHANGES = 100
_MOST_TRIES = 60
_WORTH_A_TRY = 0.6


@dataclass(frozen=True)
class Programme:
    """Columns and constraints in numbers: maximise value·x, matrix·x ≤ most, costs·x ≤ rooms, x binary.

    `values` is (n_columns,), `matrix` (n_rows, n_columns) of zeros and ones, `most` (n_rows,), `goals` the number
    of the goal of each column, `costs` (n_budgets, n_columns) what it takes of each budget, `rooms` (n_budgets,).
    """

    values: FloatArray
    matrix: NDArray[np.bool_]
    most: NDArray[np.int64]
    goals: NDArray[np.int64]
    costs: FloatArray
    rooms: FloatArray

    @cached_property
    def entries(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return row and column of every one in the matrix, which holds few of them."""
        rows, columns = np.nonzero(self.matrix)
        return rows, columns

    def holds(self, chosen: Sequence[int]) -> bool:
        """Tell whether a choice keeps every constraint."""
        is_within = (self.matrix[:, list(chosen)].sum(axis=1) <= self.most).all()
        return bool(is_within and (self.costs[:, list(chosen)].sum(axis=1) <= self.rooms + ROUNDING).all())

    def total(self, chosen: Iterable[int]) -> float:
        """Return the value of a choice."""
        return float(sum(self.values[index] for index in chosen))


def programme_of(columns: Sequence[Column], limits: Limits) -> Programme:
    """Return the constraints that can bind: one action a goal, room in each slot, every resource for its time."""
    numbers = {goal_id: number for number, goal_id in enumerate(dict.fromkeys(each.goal_id for each in columns))}
    rows = [(members, most) for members, most in _rows(columns, limits) if len(members) > most]
    matrix = np.zeros((len(rows), len(columns)), dtype=bool)
    for row, (members, _) in enumerate(rows):
        matrix[row, members] = True
    return Programme(
        values=np.array([column.value for column in columns], dtype=float),
        matrix=matrix,
        most=np.array([most for _, most in rows], dtype=np.int64),
        goals=np.array([numbers[column.goal_id] for column in columns], dtype=np.int64),
        costs=_costs(columns, tuple(limits.costs)),
        rooms=np.array(list(limits.costs.values()), dtype=float),
    )


def _costs(columns: Sequence[Column], budgets: Sequence[str]) -> FloatArray:
    costs = np.zeros((len(budgets), len(columns)))
    for index, column in enumerate(columns):
        for budget, cost in column.costs:
            costs[budgets.index(budget), index] = cost
    return costs


def _rows(columns: Sequence[Column], limits: Limits) -> Iterator[tuple[list[int], int]]:
    by_goal: dict[str, list[int]] = {}
    by_slot: dict[int, list[int]] = {}
    by_resource: dict[tuple[str, int], list[int]] = {}
    for index, column in enumerate(columns):
        by_slot.setdefault(column.slot, []).append(index)
        for goal_id in column.serves:
            by_goal.setdefault(goal_id, []).append(index)
        for resource in column.resources:
            by_resource.setdefault(resource, []).append(index)
    yield from ((members, 1) for members in by_goal.values())
    yield from ((members, limits.room[slot]) for slot, members in by_slot.items())
    for (_, spacing), members in by_resource.items():
        yield from ((run, 1) for run in _runs(spacing, members, columns))


def _runs(spacing: int, members: Sequence[int], columns: Sequence[Column]) -> Iterator[list[int]]:
    """Return the columns of every run of `spacing` slots, of which one may be taken; runs within the last are left out.

    A resource that only one goal wants needs none: it takes one action anyway.
    """
    if len({columns[index].goal_id for index in members}) < 2:
        return
    by_slot: dict[int, list[int]] = {}
    for index in members:
        by_slot.setdefault(columns[index].slot, []).append(index)
    furthest = -1
    for start in sorted(by_slot):
        within = [slot for slot in range(start, start + spacing) if slot in by_slot]
        if within[-1] > furthest:
            furthest = within[-1]
            yield [index for slot in within for index in by_slot[slot]]


def solve_milp(columns: Sequence[Column], limits: Limits) -> list[int]:
    """Return the columns of greatest total value to within half a percent, as indices.

    Where every goal's best column can be taken, that is the answer. Otherwise a time-indexed binary programme
    (Pritsker, Watters and Wolfe 1969, "Multiproject scheduling with limited resources") goes to HiGHS. The greedy
    choice stands in where that finds nothing in half a second.
    """
    useful = [index for index, column in enumerate(columns) if column.value > 0]
    if not useful:
        return []
    programme = programme_of([columns[index] for index in useful], limits)
    best = _best_each(programme, programme.values)
    picked = best if programme.holds(best) else _solve(programme)
    return [useful[index] for index in (picked if picked is not None else _greedy(programme))]


def solve_greedy(columns: Sequence[Column], limits: Limits) -> list[int]:
    """Return columns taken in order of value as far as they fit, then improved by exchanges that pay."""
    useful = [index for index, column in enumerate(columns) if column.value > 0]
    if not useful:
        return []
    return [useful[index] for index in _greedy(programme_of([columns[index] for index in useful], limits))]


def solve_in_ranks(
    ranks: Sequence[Sequence[int]],
    columns: Sequence[Column],
    limits: Limits,
    solve: Callable[[Sequence[Column], Limits], list[int]],
) -> list[int]:
    """Return the columns chosen rank by rank, as indices: each the best of what the ranks before it leave."""
    chosen: list[int] = []
    for rank in ranks:
        taken = [columns[index] for index in chosen]
        before = Allocation(limits, taken)
        fitting = [index for index in rank if before.clash(columns[index]) is None]
        picked = solve([columns[index] for index in fitting], limits.less(taken))
        chosen += [fitting[index] for index in picked]
    return chosen


def utility(columns: Sequence[Column], chosen: Iterable[int]) -> float:
    """Return the total value of chosen columns."""
    return float(sum(columns[index].value for index in chosen))


def _solve(programme: Programme) -> list[int] | None:
    """Return a choice within half a percent of the best, by way of the relaxation; None where HiGHS finds none.

    The programme without "binary" is mostly solved by whole numbers already. Where it is not, its rounding is good
    enough or, being a lower bound, rules columns out by their reduced costs (Dantzig, Fulkerson and Johnson 1954,
    "Solution of a large-scale traveling-salesman problem"): only what is left is searched.
    """
    # Imported here: a quarter of a second that only contended plans should pay.
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    # Its type stubs know dense matrices only.
    matrix: Any = csr_array(np.vstack([programme.matrix.astype(float), programme.costs]))
    # Without presolve, which takes longer here than it saves.
    relaxed = linprog(
        -programme.values,
        A_ub=matrix,
        b_ub=np.concatenate([programme.most.astype(float), programme.rooms]),
        bounds=(0, 1),
        method="highs-ds",
        options={"time_limit": _TIME_LIMIT_S, "presolve": False},
    )
    if relaxed.status != 0 or relaxed.x is None or relaxed.fun is None:
        return None
    whole = np.flatnonzero(relaxed.x > 1 - 1e-6).tolist()
    most, solution = -float(relaxed.fun), _improved(programme, _filled(programme, programme.values, whole))
    if programme.total(solution) < (1 - _GAP_RATIO) * most:
        solution = max(solution, _greedy(programme), key=programme.total)
    if programme.total(solution) >= (1 - _GAP_RATIO) * most:
        return solution
    cannot_pay = relaxed.lower.marginals > most - programme.total(solution) + 1e-9
    return _searched(programme, np.flatnonzero(~cannot_pay)) or solution


def _searched(programme: Programme, among: NDArray[np.intp]) -> list[int]:
    """Return the best choice among some columns, to within half a percent; empty where none was found in time."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    matrix = np.vstack([programme.matrix[:, among].astype(float), programme.costs[:, among]])
    most = np.concatenate([programme.most.astype(float), programme.rooms])
    binds = matrix.sum(axis=1) > most
    result = milp(
        -programme.values[among],
        constraints=LinearConstraint(csr_array(matrix[binds]), ub=most[binds]),
        integrality=np.ones(len(among), dtype=np.int64),
        bounds=Bounds(0, 1),
        options={"time_limit": _TIME_LIMIT_S, "mip_rel_gap": _GAP_RATIO},
    )
    chosen = [] if result.x is None else [int(index) for index in among[result.x > 0.5]]
    return chosen if programme.holds(chosen) else []


def _best_each(programme: Programme, values: FloatArray) -> list[int]:
    order = np.argsort(-values, kind="stable")
    _, first = np.unique(programme.goals[order], return_index=True)
    return sorted(int(order[position]) for position in first)


def _greedy(programme: Programme) -> list[int]:
    """Return the best of several fillings, each at its own prices for what is scarce, improved by exchanges.

    The prices are those of a Lagrangian relaxation, raised where the goals' favourites together ask for too much and
    lowered where room is left (Fisher 1981, "The Lagrangian relaxation method for solving integer programming
    problems").
    """
    prices = np.zeros(len(programme.most))
    best = _filled(programme, programme.values)
    for priced in range(_MOST_PRICES):
        left = programme.values - _charged(programme, prices)
        favourites = [index for index in _best_each(programme, left) if left[index] > 0]
        asked = programme.matrix[:, favourites].sum(axis=1) - programme.most
        asked[(prices <= 0) & (asked < 0)] = 0
        short = float(left[favourites].sum() + prices @ programme.most) - programme.total(best)
        if not asked.any() or short <= 0:
            break
        prices = np.maximum(0.0, prices + _PRICE_DECAY**priced * short / (asked @ asked) * asked)
        trial = _filled(programme, programme.values - _charged(programme, prices))
        best = max(best, trial, key=programme.total)
    return _improved(programme, best)


def _charged(programme: Programme, prices: FloatArray) -> FloatArray:
    """Return what each column takes, at a price for each constraint (n_columns,)."""
    rows, columns = programme.entries
    return np.bincount(columns, weights=prices[rows], minlength=len(programme.values)).astype(np.float64)


def _improved(programme: Programme, chosen: list[int]) -> list[int]:
    """Return a choice after exchanges, as long as one pays; where nothing fits there is nothing to exchange."""
    for _ in range(_MOST_EXCHANGES):
        better = _exchanged(programme, chosen) if chosen else None
        if better is None:
            break
        chosen = better
    return sorted(chosen)


def _filled(programme: Programme, values: FloatArray, chosen: Sequence[int] = ()) -> list[int]:
    """Return a choice with the column of greatest value, by these values, added as long as one fits."""
    filled, load = list(chosen), programme.matrix[:, list(chosen)].sum(axis=1)
    values = values.copy()
    values[filled] = -np.inf
    full = load >= programme.most
    left = programme.rooms - programme.costs[:, filled].sum(axis=1)
    while True:
        values[programme.matrix[full].any(axis=0)] = -np.inf
        values[(programme.costs > left[:, None] + ROUNDING).any(axis=0)] = -np.inf
        best = int(np.argmax(values))
        if values[best] == -np.inf:
            return filled
        filled.append(best)
        values[best] = -np.inf
        load = load + programme.matrix[:, best]
        left = left - programme.costs[:, best]
        full = programme.matrix[:, best] & (load >= programme.most)


def _exchanged(programme: Programme, chosen: Sequence[int]) -> list[int] | None:
    """Return a choice worth more by one column in, those it pushes out gone, and the room filled; None if none pays."""
    out = _pushed_out(programme, chosen)
    lost = np.where(out, programme.values[list(chosen)], 0.0).sum(axis=1)
    lost[list(chosen)] = np.inf
    total = programme.total(chosen)
    for index in np.argsort(lost - programme.values, kind="stable")[:_MOST_TRIES]:
        if programme.values[index] < _WORTH_A_TRY * lost[index]:
            continue
        kept = [each for each, goes in zip(chosen, out[index], strict=True) if not goes]
        trial = _filled(programme, programme.values, [*kept, int(index)])
        if programme.total(trial) > total + 1e-12 and programme.holds(trial):
            return trial
    return None


def _pushed_out(programme: Programme, chosen: Sequence[int]) -> NDArray[np.bool_]:
    """Return which of the chosen columns each column pushes out (n_columns, n_chosen).

    Those are the cheapest in each constraint that it would break.
    """
    held = programme.matrix[:, list(chosen)]
    is_tight = held.any(axis=1) & (held.sum(axis=1) >= programme.most)
    cheapest = np.where(held, programme.values[list(chosen)], np.inf).argmin(axis=1)
    rows, columns = programme.entries
    binds = is_tight[rows]
    out = np.zeros((len(programme.values), len(chosen)), dtype=bool)
    out[columns[binds], cheapest[rows[binds]]] = True
    return out
