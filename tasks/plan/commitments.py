"""Stay with a plan: what stands of earlier rounds, and what is given up."""

from __future__ import annotations

from collections.abc import Sequence

from storage.records import Candidate, GoalView, Strategy
from tasks.plan.optimise.columns import columns_of
from tasks.plan.problem import Commitment, Dropped, PlanProblem
from tasks.plan.valuation.value import Valuer, offer_key
from tasks.text import number


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
    planned = Candidate(action=commitment.action, target=commitment.target, params=dict(commitment.params))
    key = offer_key(planned)
    if all(offer_key(each) != key for each in problem.candidates.get(view.goal.goal_id, ())):
        return f"{commitment.action} is no longer offered for this goal"
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
