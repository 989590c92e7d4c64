"""Make plans: value, solve, draw, commit and explain, for all open goals at once."""

from __future__ import annotations

from storage.records import GoalState, GoalView
from tasks.plan.commitments import kept_commitments
from tasks.plan.optimise.round import decide, prepare
from tasks.plan.problem import PlanProblem, PlanResult
from tasks.plan.record.decisions import write


def make_plans(problem: PlanProblem) -> PlanResult:
    """Return decisions, plans and actions for all goals that are open and not blocked.

    The same problem gives the same result. Each goal gets one decision, also where it comes to nothing; a goal whose
    earlier plan stands gets none. Constraints hold for whatever is drawn: per slot at most `max_concurrent_goals`
    actions and one a target, none in maintenance or cooldown, no two on one series within a measurement window.
    """
    views = plannable(problem)
    kept, dropped = kept_commitments(problem, views)
    free = tuple(view for view in views if view.goal.goal_id not in kept)
    round_ = prepare(problem, free, kept)
    for view in free:
        decide(round_, view)
    return write(round_, dropped)


def plannable(problem: PlanProblem) -> tuple[GoalView, ...]:
    """Return the goals to plan for, weightiest first. Blocked ones are left as they are: nothing is known of them."""
    open_views = [view for view in problem.goals if view.is_open and view.state is not GoalState.BLOCKED]
    return tuple(sorted(open_views, key=lambda view: (-view.goal.priority, view.goal.goal_id)))
