"""What would have changed a decision: its round is solved again with one input moved, until it comes out otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from storage.records import NOTHING, Candidate, Decision, FlipPoint, GoalView
from tasks.plan.optimise.columns import Column, charged, resources_of
from tasks.plan.optimise.round import Round, decide, prepare
from tasks.plan.planning import kept_commitments, plannable
from tasks.plan.problem import Commitment, PlanProblem
from tasks.plan.record.explain import named, neighbours
from tasks.plan.valuation.value import BoundFutures, offer_key
from tasks.text import number, percent, unit_of, value

MOST_SOLVES = 50
"""How often a goal is solved for in a turn, over all goals: a third of a second of one core."""
_HALVINGS = 7
_A_SEARCH = 1 + _HALVINGS
_ALTERNATIVES = 2
_BEYOND = 1.25
_WIDEST_SD = 8.0
_WAIT = ""


class _Choice(NamedTuple):
    """What a round came to for a goal: the offer that is carried out now, or `_WAIT`."""

    offer: str
    column: Column | None
    round_: Round
    futures: BoundFutures

    @property
    def breach(self) -> float:
        """Return the share of the goal's futures that break its bound; its breach probability where it has none."""
        excess = self.futures.excess
        return float((excess.max(axis=1) > 0).mean()) if excess.size else self.futures.risk


@dataclass
class _Question:
    """The round of one goal and of those that compete with it; `base` is what came out of it.

    A search begins only where `most_solves` are enough to end it.
    """

    problem: PlanProblem
    view: GoalView
    near: frozenset[str]
    kept: Mapping[str, Commitment]
    most_solves: int
    solves: int = 0

    def __post_init__(self) -> None:
        self.base = self.solve(self.problem)

    def solve(self, problem: PlanProblem) -> _Choice:
        """Return what comes out for the goal of a problem like this one."""
        self.solves += len(self.near)
        goal_id = self.view.goal.goal_id
        views = tuple(view for view in plannable(problem) if view.goal.goal_id in self.near)
        round_ = prepare(problem, views, self.kept)
        for view in views:
            decide(round_, view)
        column = round_.served_by.get(goal_id)
        offer = column.offer if column is not None and round_.commits(column) else _WAIT
        return _Choice(offer, column, round_, round_.valuers[goal_id].outlook)

    def flip(self, vary: Callable[[float], PlanProblem], far: float) -> tuple[float, _Choice] | None:
        """Return the amount from 0 toward `far` from which on another choice comes out, and that; None without one."""
        if self.solves + _A_SEARCH * len(self.near) > self.most_solves:
            return None
        other = self.solve(vary(far))
        if other.offer == self.base.offer:
            return None
        same = 0.0
        for _ in range(_HALVINGS):
            middle = (same + far) / 2
            choice = self.solve(vary(middle))
            same, far, other = (middle, far, other) if choice.offer == self.base.offer else (same, middle, choice)
        return far, other

    def instead(self, choice: _Choice) -> str:
        """Return in words what a person would have seen it do."""
        if choice.offer == _WAIT or choice.column is None:
            return "waited"
        return f"chosen {named(self.problem, choice.column.candidate)}"


def with_flip_points(problem: PlanProblem, decisions: Sequence[Decision]) -> tuple[Decision, ...]:
    """Return the decisions of a problem with what would have changed each.

    Each point was solved for, without chance: there another choice comes out, and a step nearer to what was the same
    one does. What was drawn by chance has none, nor has what comes out otherwise when its goal is planned with its
    competitors alone. Amounts are planned over all moments at once, too long to solve again: a goal that plans them has
    no points, nor has one that wants what such a goal could use.
    """
    problem = replace(problem, explore=False, nothing_floor=0.0)
    views = plannable(problem)
    kept, _ = kept_commitments(problem, views)
    free = {view.goal.goal_id: view for view in views if view.goal.goal_id not in kept}
    taken = {key for view in views if _plans_amounts(problem, view) for key in _wants(problem, view)}
    free = {goal_id: view for goal_id, view in free.items() if taken.isdisjoint(_wants(problem, view))}
    asked = [each for each in decisions if each.goal_id in free and _had_a_choice(each)]
    if not asked:
        return tuple(decisions)
    by_goal = prepare(problem, tuple(free.values()), kept).by_goal
    columns, left, points = [each for mine in by_goal.values() for each in mine], MOST_SOLVES, {}
    for decision in asked:
        near = frozenset(neighbours(columns, decision.goal_id))
        if left >= (1 + _A_SEARCH) * len(near):
            question = _Question(problem, free[decision.goal_id], near, kept, left)
            points[decision.decision_id] = _points(question, decision)
            left -= question.solves
    return tuple(each.model_copy(update={"flip_points": points.get(each.decision_id, ())}) for each in decisions)


def _plans_amounts(problem: PlanProblem, view: GoalView) -> bool:
    own = problem.objective_of(view)
    return own is not None and own.name in problem.responses and (own.capacity or "") in problem.capacities


def _wants(problem: PlanProblem, view: GoalView) -> set[str]:
    """Return what a goal's offers would take, and the goal itself."""
    offers = problem.candidates.get(view.goal.goal_id, ())
    return {view.goal.goal_id}.union(*(dict(resources_of(problem, view, each)) for each in offers))


def _had_a_choice(decision: Decision) -> bool:
    """Tell whether anything could have been done that was valued."""
    return any(each.gain is not None for each in (decision.chosen, *decision.alternatives))


def _points(question: _Question, decision: Decision) -> tuple[FlipPoint, ...]:
    base = question.base
    action = base.column.action if base.column else NOTHING
    if action != decision.chosen.action:
        return ()
    forecast = _of_forecast(question)
    if base.column is not None and base.offer == _WAIT:
        return tuple(forecast)
    columns = base.round_.columns_for(question.view.goal.goal_id)
    best = {each.offer: each for each in sorted(columns, key=lambda each: each.value) if each.offer != base.offer}
    others = sorted(best.values(), key=lambda each: -each.value)[: _ALTERNATIVES if base.column else 1]
    worths = _of_worth(question, base.column, is_chosen=True) if base.column else []
    return (*forecast, *worths, *(point for each in others for point in _of_worth(question, each, is_chosen=False)))


def _of_forecast(question: _Question) -> list[FlipPoint]:
    """Return from which breach probability on something else would have been done: a lower one, and a higher one."""
    flips = [question.flip(partial(_forecast_moved, question), far) for far in _reach(question)]
    return [_forecast_point(question, *each) for each in flips if each is not None]


def _reach(question: _Question) -> tuple[float, ...]:
    """Return how far the forecast is moved down and up, in sd: until no future breaks the bound, and until each does.

    Without futures it is the breach probability itself that moves, to 0 and to 1.
    """
    excess = question.base.futures.excess
    if not excess.size:
        return -question.base.breach, 1.0 - question.base.breach
    worst = excess.max(axis=1)
    toward = 1.0 if question.base.futures.side == "below" else -1.0
    is_driven = _moved_series(question) != question.view.goal.series
    down, up = (_WIDEST_SD, _WIDEST_SD) if is_driven else (max(0.0, float(worst.max())), max(0.0, -float(worst.min())))
    return -toward * min(_WIDEST_SD, down + 0.01), toward * min(_WIDEST_SD, up + 0.01)


def _moved_series(question: _Question) -> str | None:
    """Return the series whose forecast the goal's futures follow: its driver's, where a response is known."""
    objective = question.base.futures.objective
    problem = question.problem
    if objective is not None and objective.name in problem.responses and objective.driver in problem.paths:
        return objective.driver
    return question.view.goal.series


def _forecast_moved(question: _Question, by: float) -> PlanProblem:
    """Return the problem with the forecast moved by so many sd; without futures, with another breach probability."""
    problem, goal = question.problem, question.view.goal
    if not question.base.futures.excess.size:
        goal = goal.model_copy(update={"probability": question.base.breach + by})
        moved = question.view.model_copy(update={"goal": goal})
        goals = tuple(moved if view is question.view else view for view in problem.goals)
        return replace(problem, goals=goals)
    series = str(_moved_series(question))
    return replace(problem, paths={**problem.paths, series: problem.paths[series] + by * _sd(question, series)})


def _sd(question: _Question, series: str) -> float:
    is_own = series == question.view.goal.series
    return question.base.futures.sd if is_own else float(np.std(question.problem.paths[series])) or 1.0


def _forecast_point(question: _Question, by: float, choice: _Choice) -> FlipPoint:
    was, at, instead = question.base.breach, choice.breach, question.instead(choice)
    if question.base.futures.excess.size:
        series = str(_moved_series(question))
        moved = value(abs(by) * _sd(question, series), unit_of(series), digits=2)
        told = f"had {series} been forecast {moved} {'lower' if by < 0 else 'higher'}: at P(breach) {percent(at)}"
    else:
        told = f"under P(breach) {percent(at)}" if by < 0 else f"from P(breach) {percent(at)} on"
    sentence = f"It would have {instead} {told}; it was {percent(was)}."
    return FlipPoint(varied="breach_probability", was=was, at=at, instead=_name(choice), sentence=sentence)


def _of_worth(question: _Question, column: Column, *, is_chosen: bool) -> list[FlipPoint]:
    """Return from which gain and which cost of an offer on something else would have been done.

    Value is gain less cost, so one search tells both: a gain lower by some amount decides as a cost higher by it.
    """
    problem, base = question.problem, question.base
    unit_cost = float(charged(problem, question.view, 1.0)[column.slot])
    if unit_cost <= 0:
        return []
    lead = max(0.0, column.value) if is_chosen else max(column.worth.needed, _value(base)) - column.value
    far = _BEYOND * max(lead, 0.0) / unit_cost + 0.01
    flip = question.flip(lambda by: _cost_moved(problem, column.offer, by), far if is_chosen else -far)
    if flip is None:
        return []
    by, choice = flip
    cost = column.charged
    gain, change = column.value + cost, by * unit_cost
    is_itself = choice.column is not None and choice.offer == column.offer
    name = "it" if is_itself else named(problem, column.candidate)
    found: list[tuple[Literal["gain", "cost"], float, float]]
    found = [("gain", gain, gain - change), ("cost", cost, cost + change)]
    return [
        FlipPoint(
            varied=varied,
            action=column.action,
            target=column.candidate.target,
            params=column.candidate.params,
            was=was,
            at=at,
            instead=_name(choice),
            sentence=f"It would have {question.instead(choice)} had {name} {_had(varied, was, at)}.",
        )
        for varied, was, at in found
        if at >= 0
    ]


def _value(choice: _Choice) -> float:
    return choice.column.value if choice.column else 0.0


def _had(varied: str, was: float, at: float) -> str:
    verb = "been expected to save" if varied == "gain" else "cost"
    return f"{verb} {number(at, 3)} or {'more' if at > was else 'less'}; it was {number(was, 3)}"


def _cost_moved(problem: PlanProblem, offer: str, by: float) -> PlanProblem:
    """Return the problem with the cost of an offer moved, wherever it is made."""

    def moved(candidate: Candidate) -> Candidate:
        if offer_key(candidate) != offer:
            return candidate
        return candidate.model_copy(update={"cost": candidate.cost + by})

    offers = {goal_id: tuple(map(moved, offered)) for goal_id, offered in problem.candidates.items()}
    return replace(problem, candidates=offers)


def _name(choice: _Choice) -> str:
    return choice.column.action if choice.offer != _WAIT and choice.column is not None else NOTHING
