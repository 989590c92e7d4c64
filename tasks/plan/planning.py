"""Make plans: value, solve, draw, commit and explain, for all open goals at once."""

from __future__ import annotations

from collections.abc import Sequence

from storage.records import GoalState, GoalView, Strategy
from tasks.plan.optimise.columns import columns_of
from tasks.plan.optimise.round import decide, prepare
from tasks.plan.problem import Commitment, Dropped, PlanProblem, PlanResult
from tasks.plan.record.decisions import write
from tasks.plan.valuation.stepped_amounts import step_for, why_not
from tasks.plan.valuation.value import Valuer, offer_key
from tasks.text import number


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
    """Return the goals to plan for, hard ones first, then the weightiest.

    Blocked ones are left as they are: nothing is known of them.
    """
    open_views = [view for view in problem.goals if view.is_open and view.state is not GoalState.BLOCKED]
    return tuple(
        sorted(open_views, key=lambda view: (not problem.is_hard(view), -view.goal.priority, view.goal.goal_id))
    )


def kept_commitments(problem: PlanProblem, views: Sequence[GoalView]) -> tuple[dict[str, Commitment], list[Dropped]]:
    """Return earlier plans that stand, by goal, and those given up.

    A plan stands unless its goal is closed, it can no longer be carried out, or (not for a frozen slot) something else
    beats it by the cost of switching, a share of the risk. What has begun always stands.
    """
    by_id = {view.goal.goal_id: view for view in views}
    kept: dict[str, Commitment] = {}
    dropped: list[Dropped] = []
    for commitment in problem.standing:
        if commitment.is_started:
            continue
        reason = _why_drop(problem, by_id.get(commitment.goal_id), commitment)
        if reason is not None:
            dropped.append(Dropped(commitment.action_id, reason))
        else:
            kept[commitment.goal_id] = commitment
    return kept, dropped


def _why_drop(problem: PlanProblem, view: GoalView | None, commitment: Commitment) -> str | None:
    if view is None:
        return "Its goal is closed."
    planned = commitment.candidate
    key = offer_key(planned)
    if all(offer_key(each) != key for each in problem.candidates.get(view.goal.goal_id, ())):
        return f"{planned.action} is no longer offered for this goal"
    step = step_for(problem, view, planned)
    if step is not None and (why := why_not(problem, view, planned, step)) is not None:
        return why
    if commitment.strategy is Strategy.SCHEDULED:
        return None
    valuer = Valuer(problem, view)
    columns, _ = columns_of(problem, view, valuer, Strategy.ADAPTIVE, ())
    at = max(0, round((commitment.start - problem.tick).total_seconds() / problem.slot_s))
    mine = max((each.value for each in columns if each.offer == key and each.slot == at), default=0.0)
    best = max(columns, key=lambda each: each.value, default=None)
    if best is None or best.offer == key or best.value <= mine + problem.switching_ratio * valuer.risk:
        return None
    return f"{best.action} is worth {number(best.value - mine)} more, which beats the cost of switching"
