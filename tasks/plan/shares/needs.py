"""What each objective needs of the budget above it: with every act that could be done for it, and with none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, isfinite
from typing import NamedTuple

import numpy as np

from storage.records import GoalView, Objective
from tasks.excess import excess_of
from tasks.plan.optimise.clearing import Claim
from tasks.plan.optimise.columns import Column
from tasks.plan.optimise.round import Round
from tasks.plan.problem import PlanProblem
from tasks.plan.valuation.running_cost import cost_after, priced_amount
from tasks.plan.valuation.value import futures_of, steps_in

_MOST_POINTS = 400
_SAME_RATIO = 1e-9
_STILL_UNDONE = 0.99
"""So far below the price at which a cheaper plan would be as good, the planner keeps to the one that was chosen."""


class Point(NamedTuple):
    """So much of a budget, and what the plan that needs just that is worth to the loop beside doing nothing."""

    amount: float
    worth: float


@dataclass(frozen=True)
class BudgetNeed:
    """What an objective needs of a budget.

    `points` are the plans that may be best, least amount first; `foreseen` is needed where nothing is done. Of minutes,
    `minutes_by_goal` are those that each goal is about, and `minutes_per_risk` how many go with one unit of its goals'
    weighted risk. `lost` says why nothing can be done, where something would have to be.
    """

    name: str
    points: tuple[Point, ...]
    foreseen: float
    minutes_by_goal: tuple[tuple[str, float], ...] = ()
    minutes_per_risk: float = 0.0
    lost: str = ""

    @property
    def least(self) -> float:
        """Return what it needs if everything is done."""
        return self.points[0].amount

    @property
    def steepest(self) -> float:
        """Return the price of a unit at which everything is done for it."""
        first = self.points[0]
        return max(((each.worth - first.worth) / (each.amount - first.amount) for each in self.points[1:]), default=0.0)

    def price_of(self, share: float, price: float) -> float:
        """Return the price of a unit, nearest to a given one, at which the plan that needs just this share is best.

        Where none is, as with a plan between two others, that at which less is needed.
        """
        chosen = [each for each in self.points if each.amount <= share * (1 + 1e-9) + 1e-9][-1]
        slopes = [
            (each.amount > chosen.amount, (each.worth - chosen.worth) / (each.amount - chosen.amount))
            for each in self.points
            if each is not chosen
        ]
        lowest = max((slope for is_more, slope in slopes if is_more), default=0.0)
        highest = min((slope for is_more, slope in slopes if not is_more), default=inf)
        return max(lowest, min(price, highest * _STILL_UNDONE), 0.0)


def claim_of(
    name: str, points: Sequence[Point], *, least: float = 0.0, most: float = inf, rank: int | None = None
) -> Claim:
    """Return what points claim of a budget: the least of them, and more in whole steps as far as that is worth it."""
    steps = [(points[0].amount, 0.0)] if points[0].amount > 0 else []
    for start, end in pairwise(points):
        steps.append((end.amount - start.amount, end.worth - start.worth))
    minimum = max(points[0].amount, least)
    return Claim(name, tuple(steps), minimum, max(minimum, most), rank, is_divisible=False)


def merged(curves: Sequence[Sequence[Point]], most: float = inf) -> tuple[Point, ...]:
    """Return the plans of several needs together that may be best, of at most `most` but for the least one.

    At most 400: of more, the best of each 400th of the amounts.
    """
    joint = [Point(0.0, 0.0)]
    for curve in curves:
        sums = [Point(one.amount + other.amount, one.worth + other.worth) for one in joint for other in curve]
        joint = _thinned(best_of(sums))
    return tuple(point for point in joint if point.amount <= most) or (joint[0],)


def best_of(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other beats with less, least amount first; of those as good as equal, the best."""
    best: list[Point] = []
    apart = _SAME_RATIO * max((point.amount for point in points), default=0.0)
    for point in sorted(points, key=lambda each: (each.amount, -each.worth)):
        if best and point.worth <= best[-1].worth + _SAME_RATIO:
            continue
        if best and point.amount - best[-1].amount <= apart:
            best[-1] = point
        else:
            best.append(point)
    return best


def _thinned(points: list[Point]) -> list[Point]:
    if len(points) <= _MOST_POINTS:
        return points
    start, width = points[0].amount, (points[-1].amount - points[0].amount) / (_MOST_POINTS - 1)
    last_of_each = {int((point.amount - start) / width): point for point in points[1:]}
    return [points[0], *last_of_each.values()]


def minutes_need(round_: Round, objective: Objective, horizon_s: float) -> BudgetNeed:
    """Return what an objective needs of an error budget within a horizon: minutes in which it is expected broken.

    Of several series a minute counts as the share of them that is broken in it.
    """
    problem = round_.problem
    if objective.name in problem.silent:
        return BudgetNeed(objective.name, (Point(0.0, 0.0),), 0.0, lost="nothing is heard of it")
    known = problem.forecast_series
    series = [known.series[place] for place in known.meant(objective.measured)] or [objective.measured]
    broken = {each: _broken_minutes(problem, objective, each, horizon_s) / len(series) for each in series}
    goals = _goals_by_series(round_, objective)
    curves, minutes, risk = list[list[Point]](), dict[str, float](), 0.0
    for name, view in goals.items():
        minutes[view.goal.goal_id] = broken.get(name, sum(broken.values()))
        risk += round_.valuers[view.goal.goal_id].risk
        curves.append(_minute_points(round_, view, minutes[view.goal.goal_id]))
    foreseen = max(sum(broken.values()), sum(minutes.values()))
    unplanned = Point(foreseen - sum(minutes.values()), 0.0)
    points = merged([*curves, [unplanned]])
    return BudgetNeed(
        objective.name,
        points,
        foreseen,
        tuple(minutes.items()),
        sum(minutes.values()) / risk if risk > 0 else 0.0,
        _why_lost(problem, objective, foreseen, len(points), bool(goals)),
    )


def _broken_minutes(problem: PlanProblem, objective: Objective, series: str, horizon_s: float) -> float:
    """Return the minutes in which a series is expected beyond the bound; 0 where it has no forecast."""
    reach_s = min(objective.horizon_s, horizon_s)
    if objective.name not in problem.responses and series in problem.paths and problem.paths[series].size:
        step_s = problem.step_s.get(series, problem.slot_s)
        ahead = np.nan_to_num(problem.paths[series][:, : steps_in(reach_s, step_s)], nan=objective.bound)
        is_broken = excess_of(ahead, objective.bound, objective.side, 1.0) > 0
        return float(is_broken.mean() * ahead.shape[1] * step_s / 60)
    futures = futures_of(problem, objective, series)
    if futures is None or futures.excess.size == 0:
        return 0.0
    is_broken = futures.excess[:, futures.times_s <= reach_s] > 0
    reach_s = min(reach_s, float(futures.times_s[-1]))
    return float(is_broken.mean() * reach_s / 60) if is_broken.size else 0.0


def _goals_by_series(round_: Round, objective: Objective) -> dict[str, GoalView]:
    """Return the goals for an objective by series, the weightiest of each; one about all series counts alone."""
    goals: dict[str, GoalView] = {}
    for view in round_.views:
        if view.goal.objective == objective.name and not view.goal.informs:
            goals.setdefault(view.goal.series or "", view)
    return {name: view for name, view in goals.items() if name} or goals


def _minute_points(round_: Round, view: GoalView, minutes: float) -> list[Point]:
    """Return what a goal's acts leave of its broken minutes, each with what it is worth beyond what it has to be."""
    valuer = round_.valuers[view.goal.goal_id]
    points = [Point(minutes, 0.0)]
    for column in round_.columns_for(view.goal.goal_id):
        left = minutes * (1.0 - saved_ratio(column, valuer.risk))
        # As `is_worth_it` has it: the lesser of both is enough.
        needed = min(column.worth.needed, round_.problem.margin * valuer.risk)
        if isfinite(column.own_value):
            points.append(Point(left, column.own_value - needed))
    return best_of(points)


def saved_ratio(column: Column, risk: float) -> float:
    """Return which share of a goal's weighted risk an act saves, and so of its broken minutes."""
    saved = float(column.worth.own_gain[column.slot])
    return min(1.0, max(0.0, saved / risk)) if risk > 0 and isfinite(saved) else 0.0


def _why_lost(problem: PlanProblem, objective: Objective, foreseen: float, n_points: int, has_goal: bool) -> str:
    if n_points > 1 or foreseen <= 0:
        return ""
    if any(objective.name == _objective_of(problem, each.goal_id) for each in problem.standing):
        # What was done or planned for it shows later: until then nothing more is tried, and it is not lost.
        return ""
    if has_goal:
        return "no action is left for it"
    return "its goal was given up" if objective.name in problem.given_up else ""


def _objective_of(problem: PlanProblem, goal_id: str) -> str | None:
    return next((view.goal.objective for view in problem.goals if view.goal.goal_id == goal_id), None)


def cost_need(round_: Round, objective: Objective) -> BudgetNeed | None:
    """Return what an objective needs of a cost budget: what its amount costs in an hour, now and as it may be set.

    None where no action sets an amount for it, or nobody knows how much is there.
    """
    amount = priced_amount(round_.problem, objective)
    if amount is None:
        return None
    points = [Point(amount[1], 0.0)]
    views = [view for view in round_.views if view.goal.objective == objective.name]
    for view in views:
        for column in round_.columns_for(view.goal.goal_id):
            cost = cost_after(round_.problem, view, column.candidate)
            if cost is not None and isfinite(column.own_value):
                points.append(Point(cost, column.own_value))
    best = best_of(points)
    lost = "nothing is heard of it" if objective.name in round_.problem.silent else ""
    return BudgetNeed(objective.name, tuple(best), amount[1], lost=lost)
