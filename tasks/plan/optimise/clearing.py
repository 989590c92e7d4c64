"""Clear a scarce thing by a price: who gets how much of a budget, so that what all get is worth most together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite
from typing import NamedTuple

import numpy as np

from storage.errors import ForeactError

_TIME_LIMIT_S = 0.5
_GAP_RATIO = 1e-4
_MOST_OPTIONS = 3000
"""Beyond so many options the exact choice takes seconds, and rounding the priced one loses next to nothing."""
_ROUNDING_RATIO = 1e-9


@dataclass(frozen=True)
class Claim:
    """What a claimant would make of its share, and the bounds of that share.

    `steps` are (amount, value) in turn: so much more of the thing is worth so much more, and beyond the last nothing
    is. They need not fall off. It gets `minimum` at least and `maximum` at most; where the claim is not `is_divisible`,
    what it gets beyond the minimum ends a whole step. `rank` orders hard claims, 0 first: what is left by one rank
    goes to the next. Claims without a rank are soft and share what the hard ones leave.
    """

    name: str
    steps: tuple[tuple[float, float], ...]
    minimum: float = 0.0
    maximum: float = inf
    rank: int | None = None
    is_divisible: bool = True

    def __post_init__(self) -> None:
        is_sound = all(amount > 0 and isfinite(amount) and isfinite(value) for amount, value in self.steps)
        if not (is_sound and 0 <= self.minimum <= self.maximum and isfinite(self.minimum)):
            raise ForeactError(
                "plan.unsound_claim",
                f"{self.name} asks for what cannot be: between {self.minimum:g} and {self.maximum:g}, in {self.steps}.",
                "Give steps of amounts above 0 and finite values, and a minimum from 0 to the maximum.",
            )


@dataclass(frozen=True)
class Clearing:
    """Who gets how much: `amounts` by claimant, what that is worth to each, and the price.

    `price` is what one more unit of the budget would be worth, 0 where nobody wants more. `short_by` is what the
    budget lacks for the least that all must get; where it is above 0 nobody was given anything.
    """

    price: float = 0.0
    amounts: Mapping[str, float] | None = None
    values: Mapping[str, float] | None = None
    short_by: float = 0.0

    @property
    def value(self) -> float:
        """Return what the shares are worth together."""
        return sum((self.values or {}).values())


class _Point(NamedTuple):
    amount: float
    value: float


class _Option(NamedTuple):
    """One way to serve a claim: the amount and value it has at least, and what may be added to them in proportion."""

    claim: int
    start: _Point
    more: _Point


def clear(claims: Iterable[Claim], budget: float) -> Clearing:
    """Return shares of a budget whose value together is within a ten-thousandth of the greatest, and their price.

    The least that each must get is set aside first; then the hard claims are served in order of rank, those of one
    rank together, then all soft ones together. Of each rank the claims' concave hulls are cleared at a Lagrange
    multiplier (Everett 1963, "Generalized Lagrange multiplier method for solving problems of optimum allocation of
    resources"); where a step or a bend of a curve lies across it, the choice among whole steps is a multiple-choice
    knapsack (Sinha and Zoltners 1979) for HiGHS. Beyond 3000 options it is the cleared hulls rounded down and filled,
    short of the greatest by less than one claim's widest step.
    Raises `plan.unsound_claim` where two claims have one name or the budget is no amount.
    """
    ranked = _ranked(claims, budget)
    points = {claim.name: _points(claim) for rank in ranked for claim in rank}
    room = budget - sum(each[0].amount for each in points.values())
    if room < -_ROUNDING_RATIO * max(budget, 1.0):
        return Clearing(short_by=-room)
    price, given = 0.0, dict[str, _Point]()
    for rank in ranked:
        marginal, shares = _clear_rank([points[claim.name] for claim in rank], rank, max(0.0, room))
        given.update(zip((claim.name for claim in rank), shares, strict=True))
        room -= sum(given[claim.name].amount - points[claim.name][0].amount for claim in rank)
        price = price or marginal
    return Clearing(
        price, {name: each.amount for name, each in given.items()}, {name: each.value for name, each in given.items()}
    )


def _ranked(claims: Iterable[Claim], budget: float) -> list[list[Claim]]:
    by_rank: dict[float, list[Claim]] = {}
    names: set[str] = set()
    for claim in claims:
        if claim.name in names:
            raise ForeactError("plan.unsound_claim", f"{claim.name} claims twice.", "Put its steps into one claim.")
        names.add(claim.name)
        by_rank.setdefault(inf if claim.rank is None else claim.rank, []).append(claim)
    if not (isfinite(budget) and budget >= 0):
        raise ForeactError("plan.unsound_claim", f"A budget of {budget} is no amount.", "Give an amount of 0 or more.")
    return [by_rank[rank] for rank in sorted(by_rank)]


def _points(claim: Claim) -> list[_Point]:
    """Return what a claim may get, least first: its minimum, then the bends of its curve or its whole steps."""
    curve = [_Point(0.0, 0.0)]
    for amount, value in claim.steps:
        curve.append(_Point(curve[-1].amount + amount, curve[-1].value + value))
    within = [point for point in curve if claim.minimum < point.amount <= claim.maximum]
    if not claim.is_divisible:
        below = [point for point in curve if point.amount <= claim.minimum]
        return [_Point(claim.minimum, below[-1].value), *within]
    is_cut = claim.minimum < claim.maximum < curve[-1].amount and claim.maximum not in {each.amount for each in within}
    return [_at(curve, claim.minimum), *within, *([_at(curve, claim.maximum)] if is_cut else [])]


def _at(curve: Sequence[_Point], amount: float) -> _Point:
    return _Point(amount, float(np.interp(amount, [each.amount for each in curve], [each.value for each in curve])))


def _clear_rank(points: Sequence[Sequence[_Point]], claims: Sequence[Claim], room: float) -> tuple[float, list[_Point]]:
    """Return the price and the shares of claims of one rank; `room` is what is left beyond the least of each."""
    price, shares, is_whole = _at_price(points, claims, room)
    if is_whole:
        return price, shares
    options = _options(points, claims)
    # Twice: the solver may overspend by its tolerance, which a slightly smaller budget takes up.
    for spared in (0.0, 1e-5):
        chosen = _chosen(options, len(claims), room, spared) if len(options) <= _MOST_OPTIONS else None
        if chosen is not None and (exact := _filled(points, chosen, room)) is not None:
            return price, max(shares, exact, key=_worth)
    return price, shares


def _at_price(
    points: Sequence[Sequence[_Point]], claims: Sequence[Claim], room: float
) -> tuple[float, list[_Point], bool]:
    """Return the price that clears the concave hulls, the shares at it, and whether these are the best there are.

    They are where each lies on its claim's own curve; otherwise the last is rounded down and room is filled by what
    still fits.
    """
    hulls = [_hull(each) for each in points]
    edges = sorted(
        (
            (_slope(hull[at], hull[at + 1]), claim, at)
            for claim, hull in enumerate(hulls)
            for at in range(len(hull) - 1)
        ),
        key=lambda edge: -edge[0],
    )
    shares, left = [hull[0] for hull in hulls], room
    for slope, claim, at in edges:
        start, end = hulls[claim][at], hulls[claim][at + 1]
        width = end.amount - start.amount
        if width <= left * (1 + _ROUNDING_RATIO):
            shares[claim], left = end, max(0.0, left - width)
            continue
        if claims[claim].is_divisible:
            shares[claim] = _at(points[claim], start.amount + left)
        reached = start.value + slope * left
        is_whole = left <= _ROUNDING_RATIO * width or (shares[claim].value >= reached - 1e-12 * abs(reached))
        return slope, shares if is_whole else _topped_up(points, claims, shares, room), is_whole
    return 0.0, shares, True


def _topped_up(
    points: Sequence[Sequence[_Point]], claims: Sequence[Claim], shares: Sequence[_Point], room: float
) -> list[_Point]:
    """Return shares with each claim raised, in turn, as far as pays and what is left allows."""
    raised = list(shares)
    left = room - sum(share.amount - each[0].amount for share, each in zip(shares, points, strict=True))
    for claim, curve in enumerate(points):
        most = raised[claim].amount + left
        within = [each for each in curve if raised[claim].amount <= each.amount <= most]
        if claims[claim].is_divisible:
            within.append(_at(curve, min(most, curve[-1].amount)))
        best = max([raised[claim], *within], key=lambda each: each.value)
        left -= best.amount - raised[claim].amount
        raised[claim] = best
    return raised


def _hull(points: Sequence[_Point]) -> list[_Point]:
    """Return the corners of the least concave curve above some points, as far as it rises."""
    hull: list[_Point] = []
    for point in points:
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-1], point):
            hull.pop()
        if not hull or point.value > hull[-1].value:
            hull.append(point)
    return hull


def _slope(start: _Point, end: _Point) -> float:
    return (end.value - start.value) / (end.amount - start.amount)


def _options(points: Sequence[Sequence[_Point]], claims: Sequence[Claim]) -> list[_Option]:
    """Return all ways to serve each claim: every whole step, or every stretch between two bends."""
    options: list[_Option] = []
    for claim, curve in enumerate(points):
        if not claims[claim].is_divisible or len(curve) == 1:
            options += [_Option(claim, point, _Point(0.0, 0.0)) for point in curve]
        else:
            options += [
                _Option(claim, start, _Point(end.amount - start.amount, end.value - start.value))
                for start, end in pairwise(curve)
            ]
    return options


def _chosen(options: Sequence[_Option], n_claims: int, room: float, spared: float) -> list[_Option] | None:
    """Return the best option of each claim together; None where the solver finds none in time.

    Variables are, for each option, whether it is taken (binary) and which share of what may be added (0 to 1, only
    where it is taken).
    """
    # Imported here: a quarter of a second that only contended budgets should pay.
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import block_array, csr_array, eye_array

    count, scale = len(options), max(room, 1e-300)
    least = [min(each.start.amount for each in options if each.claim == claim) for claim in range(n_claims)]
    taken = csr_array((np.ones(count), ([each.claim for each in options], range(count))), shape=(n_claims, count))
    spent = [(each.start.amount - least[each.claim]) / scale for each in options]
    spent += [each.more.amount / scale for each in options]
    values = np.array([each.start.value for each in options] + [each.more.value for each in options])
    result = milp(
        -values / max(float(np.abs(values).max()), 1e-300),
        constraints=[
            LinearConstraint(block_array([[taken, csr_array((n_claims, count))]]), 1, 1),
            LinearConstraint(csr_array([spent]), ub=1.0 - spared),
            LinearConstraint(block_array([[-eye_array(count), eye_array(count)]]), ub=0),
        ],
        integrality=np.repeat([1, 0], count),
        bounds=Bounds(0, 1),
        options={"time_limit": _TIME_LIMIT_S, "mip_rel_gap": _GAP_RATIO},
    )
    return None if result.x is None else [each for each, x in zip(options, result.x[:count], strict=True) if x > 0.5]


def _filled(points: Sequence[Sequence[_Point]], chosen: Sequence[_Option], room: float) -> list[_Point] | None:
    """Return the shares of chosen options, the rest given where it is worth most; None where they overspend."""
    left = room - sum(each.start.amount - points[each.claim][0].amount for each in chosen)
    if left < -_ROUNDING_RATIO * room:
        return None
    shares = {each.claim: each.start for each in chosen}
    rising = [each for each in chosen if each.more.value > 0]
    for each in sorted(rising, key=lambda option: -option.more.value / option.more.amount):
        share = min(1.0, max(0.0, left) / each.more.amount)
        shares[each.claim] = _Point(
            each.start.amount + share * each.more.amount, each.start.value + share * each.more.value
        )
        left -= share * each.more.amount
    return [shares[claim] for claim in range(len(points))]


def _worth(shares: Sequence[_Point]) -> float:
    return sum(share.value for share in shares)
