"""Choices in which chance had a say, kept so that it can be learned what comes late of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from storage.decisions import LoggedChoice
from storage.records import NOTHING, Decision, GoalView, LateChoice, stable_id
from tasks.plan.optimise.draw import Draw
from tasks.plan.problem import PlanProblem
from tasks.text import number


def choices_of(problem: PlanProblem, decisions: Iterable[Decision]) -> list[LoggedChoice]:
    """Return the decisions that were left to chance, as choices: the first of a goal and seed is the one that counts.

    Nothing where nobody learns of late effects, and nothing of goals without a bound or without a value now.
    """
    views = {view.goal.goal_id: view for view in problem.goals}
    return [each for decision in decisions for each in _choice_of(problem, decision, views[decision.goal_id])]


def _choice_of(problem: PlanProblem, decision: Decision, view: GoalView) -> Iterator[LoggedChoice]:
    goal, state = view.goal, problem.late.states.get(decision.goal_id) if problem.late is not None else None
    drawn: dict[str, float] = {}
    for each in (decision.chosen, *decision.alternatives):
        drawn[each.action] = max(drawn.get(each.action, 0.0), each.propensity)
    drawn = {name: share for name, share in drawn.items() if share > 0}
    is_chance = len(drawn) > 1 and decision.chosen.action in drawn
    if state is None or goal.series is None or goal.bound is None or not is_chance:
        return
    objective = problem.objective_of(view)
    yield LoggedChoice(
        choice_id=stable_id("choice", goal.goal_id, decision.seed),
        goal_type=goal.goal_type,
        at=decision.at,
        goal_id=goal.goal_id,
        series=goal.series,
        bound=goal.bound,
        side=goal.side,
        severity=goal.severity,
        sd=problem.series_sd[goal.series],
        horizon_s=objective.horizon_s if objective is not None else problem.settle_s,
        excess_sd=state.excess_sd,
        hour=state.hour,
        recent=dict(state.recent),
        drawn=drawn,
        usual=decision.late.usual if decision.late is not None else drawn,
        chosen=decision.chosen.action,
        cost=decision.chosen.cost or 0.0,
    )


def late_choice(problem: PlanProblem, view: GoalView, draw: Draw) -> LateChoice | None:
    """Return what was learned of late effects for a decision, and whether that was drawn from."""
    if draw.late is None or problem.late is None:
        return None
    return LateChoice(
        instead=draw.late.instead,
        gain_h=draw.late.gain,
        doubt_h=draw.late.doubt,
        is_admitted=problem.late.may_choose(view.goal),
        usual={name: share for name, share in draw.usual.items() if share > 0},
    )


def late_said(late: LateChoice | None) -> Iterator[str]:
    """Yield what people are told of it."""
    if late is None:
        return
    what = "doing nothing" if late.instead == NOTHING else late.instead
    more = f"{number(late.gain_h)} h less broken later on, give or take {number(late.doubt_h)}"
    if late.is_admitted:
        yield f"From what came late of earlier choices, {what} is preferred: {more}."
    else:
        yield f"From what came late of earlier choices, {what} would be preferred ({more}); that is only said."
