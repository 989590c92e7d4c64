"""A budget is cleared by a price: against every division that there is."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import ForeactError
from tasks.plan.optimise.clearing import Claim, Clearing, clear


def worth(claim: Claim, amount: int) -> float:
    """What a whole amount is worth to a claim, -inf where it may not have it."""
    ends = np.cumsum([0.0, *(width for width, _ in claim.steps)])
    values = np.cumsum([0.0, *(value for _, value in claim.steps)])
    is_whole = claim.is_divisible or amount in ends or amount == claim.minimum
    if not (claim.minimum <= amount <= claim.maximum and is_whole):
        return -inf
    if claim.is_divisible:
        return float(np.interp(amount, ends, values))
    return float(values[np.searchsorted(ends, amount, side="right") - 1])


def best(claims: list[Claim], budget: int) -> float:
    """The greatest value of whole amounts: with whole bends and a whole budget, nothing in between beats them."""
    table = np.zeros(budget + 1)
    for claim in claims:
        mine = np.array([worth(claim, amount) for amount in range(budget + 1)])
        table = np.array(
            [max(mine[part] + table[room - part] for part in range(room + 1)) for room in range(budget + 1)]
        )
    return float(table[budget])


@st.composite
def claim_lists(draw: st.DrawFn, hard: bool = False) -> list[Claim]:
    claims = []
    for number in range(draw(st.integers(1, 5))):
        steps = draw(st.lists(st.tuples(st.integers(1, 8), st.integers(0, 30)), max_size=5))
        minimum = draw(st.sampled_from([0, 0, 0, 1, 3]))
        maximum = draw(st.sampled_from([inf, inf, minimum, minimum + 2, minimum + 9]))
        rank = draw(st.sampled_from([None, 0, 1])) if hard else None
        claims.append(Claim(f"claim {number}", tuple(steps), minimum, maximum, rank, draw(st.booleans())))
    return claims


def spent(cleared: Clearing) -> float:
    return sum((cleared.amounts or {}).values())


@settings(max_examples=150, deadline=None)
@given(claim_lists(), st.integers(0, 40))
def test_shares_are_worth_the_best_division_and_stay_within_budget_and_bounds(claims: list[Claim], budget: int) -> None:
    least = sum(claim.minimum for claim in claims)
    cleared = clear(claims, budget)
    assert cleared.short_by == max(0.0, least - budget)
    if cleared.short_by:
        return
    assert cleared.amounts is not None
    assert spent(cleared) <= budget + 1e-6
    assert all(claim.minimum - 1e-9 <= cleared.amounts[claim.name] <= claim.maximum + 1e-9 for claim in claims)
    assert cleared.value == pytest.approx(best(claims, budget), rel=2e-4, abs=1e-6)


@settings(max_examples=80, deadline=None)
@given(claim_lists(hard=True), st.integers(0, 40))
def test_each_rank_gets_the_best_that_the_ranks_before_it_and_the_least_of_the_others_leave(
    claims: list[Claim], budget: int
) -> None:
    cleared = clear(claims, budget)
    if cleared.amounts is None or cleared.values is None:
        assert cleared.short_by > 0
        return
    served: list[Claim] = []
    for rank in (0, 1, None):
        of_rank = [claim for claim in claims if claim.rank == rank]
        later = [claim for claim in claims if claim not in of_rank and claim not in served]
        least = sum(claim.minimum for claim in later)
        room = budget - sum(cleared.amounts[claim.name] for claim in served) - least
        got = sum(cleared.values[claim.name] for claim in of_rank)
        assert got >= best(of_rank, int(room + 1e-6)) * (1 - 2e-4) - 1e-6
        served += of_rank


@settings(max_examples=80, deadline=None)
@given(claim_lists(), st.integers(0, 40))
def test_where_curves_fall_off_nobody_gains_by_more_or_less_at_the_price(claims: list[Claim], budget: int) -> None:
    falling = [
        Claim(claim.name, tuple(sorted(claim.steps, key=lambda step: -step[1] / step[0])), is_divisible=True)
        for claim in claims
    ]
    cleared = clear(falling, budget)
    assert cleared.amounts is not None
    for claim in falling:
        mine = worth_at(claim, cleared.amounts[claim.name]) - cleared.price * cleared.amounts[claim.name]
        for other in range(41):
            assert worth_at(claim, other) - cleared.price * other <= mine + 1e-6


def worth_at(claim: Claim, amount: float) -> float:
    ends = np.cumsum([0.0, *(width for width, _ in claim.steps)])
    return float(np.interp(amount, ends, np.cumsum([0.0, *(value for _, value in claim.steps)])))


def test_more_than_there_are_options_for_still_gets_within_a_step_of_the_best() -> None:
    random = np.random.default_rng(7)
    claims = [
        Claim(
            f"claim {number}", tuple((float(w), float(v)) for w, v in random.uniform(1, 9, (8, 2))), is_divisible=False
        )
        for number in range(500)
    ]
    cleared = clear(claims, 4000.0)
    bound = cleared.price * 4000 + sum(
        max(0.0, *(v - cleared.price * a for a, v in np.cumsum(claim.steps, axis=0))) for claim in claims
    )
    assert spent(cleared) <= 4000
    assert cleared.value >= 0.99 * bound


def test_minima_above_the_budget_say_by_how_much_and_give_nobody_anything() -> None:
    cleared = clear([Claim("a", ((5, 1),), minimum=4), Claim("b", ((5, 1),), minimum=3)], 5.0)
    assert (cleared.short_by, cleared.amounts, cleared.value) == (2.0, None, 0.0)


def test_what_nobody_wants_has_no_price() -> None:
    assert clear([Claim("a", ((5, 1),))], 9.0).price == 0.0
    assert clear([], 9.0) == Clearing(0.0, {}, {})


@pytest.mark.parametrize("budget", [-1.0, inf, float("nan")])
def test_a_budget_that_is_no_amount_is_refused(budget: float) -> None:
    with pytest.raises(ForeactError, match="no amount"):
        clear([], budget)


def test_two_claims_of_one_name_and_bounds_that_cross_are_refused() -> None:
    with pytest.raises(ForeactError, match="claims twice"):
        clear([Claim("a", ()), Claim("a", ())], 1.0)
    with pytest.raises(ForeactError, match="cannot be"):
        Claim("a", (), minimum=2, maximum=1)
