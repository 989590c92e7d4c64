"""Doing nothing on purpose, on record like an action: without it nobody knows what would have happened anyway."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from storage.records import NOTHING, Action, Autonomy, Decision, GoalView, stable_id
from tasks.plan.problem import PlanProblem


def abstentions(problem: PlanProblem, decisions: Iterable[Decision]) -> tuple[Action, ...]:
    """Return an action called `nothing` for each goal that drew it although another could have been drawn.

    It is carried out without touching anything and measured over the same window as an action would be; one goal has
    at most one in each window.
    """
    views = {view.goal.goal_id: view for view in problem.goals}
    return tuple(
        _abstention(problem, decision, views[decision.goal_id])
        for decision in decisions
        if _is_deliberate(decision) and views[decision.goal_id].goal.series is not None
    )


def _is_deliberate(decision: Decision) -> bool:
    had_a_choice = any(each.action != NOTHING and each.propensity > 0 for each in decision.alternatives)
    return decision.chosen.action == NOTHING and had_a_choice


def _abstention(problem: PlanProblem, decision: Decision, view: GoalView) -> Action:
    goal = view.goal
    window = int(max(0.0, (problem.tick - goal.created_at).total_seconds()) // problem.settle_s)
    return Action(
        action_id=stable_id("action", NOTHING, goal.goal_id, window),
        name=NOTHING,
        goal_id=goal.goal_id,
        goal_type=goal.goal_type,
        plan_id=decision.decision_id,
        decision_id=decision.decision_id,
        strategy=decision.strategy,
        level=Autonomy.AUTO,
        created_at=problem.tick,
        due_at=problem.tick,
        expires_at=problem.tick + timedelta(seconds=problem.expires_s),
        series=goal.series,
        side=goal.side,
        bound=goal.bound,
        off_usual_sd=problem.off_usual_sd.get(goal.goal_id, 0.0),
        usual=problem.usual.get(goal.goal_id),
        horizon_s=problem.settle_s,
        propensity=decision.chosen.propensity,
        priority=goal.priority,
        forecast_cycle_id=problem.cycle_id,
    )
