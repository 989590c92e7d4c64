"""Actions that only inform: each goal gets at most one, beside whatever else is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from storage.records import Action, Autonomy, Candidate, GoalView, Strategy
from tasks.plan.problem import PlanProblem
from tasks.plan.record.actions import action_of


def information_actions(problem: PlanProblem, views: Sequence[GoalView]) -> dict[str, Action]:
    """Return an information action by goal for each goal that had none yet; goals that want the same one share it.

    They change nothing, so they take no slot and no resource; cooldowns, maintenance and levels hold for them as well.
    """
    chosen: dict[str, Action] = {}
    by_offer: dict[tuple[str, str], Action] = {}
    for view in views:
        candidate = None if view.goal.goal_id in problem.informed else next(_offers(problem, view), None)
        if candidate is None:
            continue
        key = (candidate.action, candidate.target)
        if key not in by_offer:
            by_offer[key] = action_of(problem, view, candidate, strategy=Strategy.IMMEDIATE)
        chosen[view.goal.goal_id] = by_offer[key]
    return chosen


def _offers(problem: PlanProblem, view: GoalView) -> Iterator[Candidate]:
    """Return a goal's information candidates that may run now, cheapest first."""
    mine = problem.candidates.get(view.goal.goal_id, ())
    for candidate in sorted(mine, key=lambda each: (each.cost, each.action, each.target)):
        if not problem.traits_of(candidate.action).informs_only:
            continue
        cool = problem.cooldown_until.get((candidate.action, candidate.target))
        is_cool = cool is None or cool <= problem.tick
        is_open = not any(start <= problem.tick < end for start, end in problem.maintenance)
        if is_cool and is_open and problem.level(view.goal.goal_type, candidate.action) is not Autonomy.OBSERVE:
            yield candidate
