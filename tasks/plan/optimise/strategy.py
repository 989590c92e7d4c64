"""Which of the four strategies a goal gets, and which goals are planned together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from storage.records import GoalView, Strategy
from tasks.plan.optimise.columns import capacity_of
from tasks.plan.problem import PlanProblem
from tasks.plan.valuation.stepped_amounts import step_for

_CRITICAL = 0.7
_URGENT_SLOTS = 2


def strategies_of(problem: PlanProblem, views: Sequence[GoalView]) -> dict[str, tuple[Strategy, str]]:
    """Return every goal's strategy and the reason for it.

    Where `strategies` names one for the goal type, that one. Otherwise: driven by a forecast → ADAPTIVE; critical
    and urgent → IMMEDIATE; sharing a series, target or family tree with another goal → COLLABORATIVE; a peak beyond
    half the slots → SCHEDULED; else ADAPTIVE. Save for the first two, what outcomes advise replaces it.
    """
    groups = groups_of(problem, views)
    shared = {goal_id for group in groups if len(group) > 1 for goal_id in group}
    capacities = Counter(capacity_of(problem, view) for view in views)
    joint = {view.goal.goal_id for view in views if capacities[capacity_of(problem, view)] > 1}
    return {
        view.goal.goal_id: _strategy_of(problem, view, view.goal.goal_id in shared, view.goal.goal_id in joint)
        for view in views
    }


def _strategy_of(problem: PlanProblem, view: GoalView, is_shared: bool, is_joint: bool) -> tuple[Strategy, str]:
    goal = view.goal
    learned = (problem.strategies or {}).get(goal.goal_type)
    if learned is not None:
        return learned, f"{learned.value} has worked best for {goal.goal_type.value} so far"
    if goal.objective in problem.responses:
        anew = "its amount is planned again each cycle from the driver's forecast"
        if is_joint:
            return Strategy.COLLABORATIVE, f"{anew}, for all goals on this capacity at once"
        return Strategy.ADAPTIVE, anew
    if any(step_for(problem, view, each) is not None for each in problem.candidates.get(goal.goal_id, ())):
        return Strategy.ADAPTIVE, "its amount goes step by step, looked at again each cycle"
    proposed, reason = _proposed(problem, view, is_shared)
    if problem.advice is None or proposed is Strategy.IMMEDIATE:
        return proposed, reason
    allowed = [each for each in Strategy if is_shared or each is not Strategy.COLLABORATIVE]
    advised = problem.advice.choose(goal.goal_type.value, proposed.value, [each.value for each in allowed])
    return (Strategy(advised.strategy), advised.reason) if advised.is_adapted else (proposed, reason)


def _proposed(problem: PlanProblem, view: GoalView, is_shared: bool) -> tuple[Strategy, str]:
    goal = view.goal
    lead_s = (goal.deadline - problem.tick).total_seconds()
    if goal.severity >= _CRITICAL and lead_s <= _URGENT_SLOTS * problem.slot_s:
        return Strategy.IMMEDIATE, "it is critical and cannot wait"
    if is_shared:
        return Strategy.COLLABORATIVE, "it shares a metric, a target or a parent with another goal"
    if lead_s > problem.n_slots * problem.slot_s / 2:
        return Strategy.SCHEDULED, "its deadline leaves time to choose the best moment"
    return Strategy.ADAPTIVE, "the moment is chosen again each cycle with the newest forecast"


def groups_of(problem: PlanProblem, views: Sequence[GoalView]) -> list[tuple[str, ...]]:
    """Return the goals that share a series, a target of a candidate, or a parent, as groups; most are alone."""
    groups: list[set[str]] = []
    keys: list[set[str]] = []
    for view in views:
        mine = _shared_keys(problem, view)
        joined = [index for index, theirs in enumerate(keys) if theirs & mine]
        members = {view.goal.goal_id}.union(*(groups[index] for index in joined))
        names = mine.union(*(keys[index] for index in joined))
        groups = [each for index, each in enumerate(groups) if index not in joined] + [members]
        keys = [each for index, each in enumerate(keys) if index not in joined] + [names]
    return [tuple(sorted(group)) for group in groups]


def _shared_keys(problem: PlanProblem, view: GoalView) -> set[str]:
    goal = view.goal
    keys = {f"goal:{goal.goal_id}", f"goal:{goal.parent_id or goal.goal_id}"}
    if goal.series is not None:
        keys.add(f"series:{goal.series}")
    for candidate in problem.candidates.get(goal.goal_id, ()):
        if candidate.target and not problem.traits_of(candidate.action).informs_only:
            keys.add(f"target:{candidate.target}")
    return keys
