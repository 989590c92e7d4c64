"""Hysteresis: when a cause that had its goal may have another."""

from __future__ import annotations

from collections.abc import Sequence

from storage.records import GoalState, GoalView, Objective
from tasks.goals.evidence import Evidence, ObservedWindow, Proposal
from tasks.goals.policy import GoalPolicy
from tasks.goals.statistics.measures import Side, held_for_s, longest_clear_s, margin_of
from tasks.text import span

_FRUITLESS = {GoalState.FAILED, GoalState.EXPIRED}
_CLEARLY_BROKEN_RATIO = 0.25
"""Of the re-arm time: for how long what is broken by the margin must be so, since no wobble comes as far."""


def not_rearmed(evidence: Evidence, proposal: Proposal, closed: Sequence[GoalView], policy: GoalPolicy) -> str | None:
    """Return why a cause whose goals `closed` lately is not raised again yet; None where it may be.

    A wobble around a bound is one matter and not ten: since the last goal the series must have been clear of the bound
    by a margin for a while, or beyond it all of that while, or beyond the margin for a quarter of it. What failed, or
    was predicted and did not come, is tried again after its horizon, doubled for every time before. What a person
    cancelled must have been clear. An objective with a driver waits for none of this: its metric says what was done
    about it, its driver what is to come.
    """
    # What closed in the future was closed under a clock that was wrong, and would hold the cause up until then.
    same = [view for view in closed if view.since <= evidence.tick and view.state is not GoalState.SUPERSEDED]
    if not same:
        return None
    last = max(same, key=lambda view: view.since)
    if proposal.period_s is not None:
        return _same_occurrence(proposal, last, proposal.period_s)
    objective = evidence.objective(proposal.objective)
    if objective is not None and objective.driver is not None and last.state is not GoalState.CANCELLED:
        return None
    rearm_s = policy.rearm_s(objective)
    since_s = (evidence.tick - last.since).total_seconds()
    if last.state in {GoalState.ACHIEVED, GoalState.EXPIRED} and _is_broken_again(evidence, proposal, since_s, rearm_s):
        return None
    if last.state in _FRUITLESS:
        return _too_early(evidence, last, sum(view.state in _FRUITLESS for view in same), objective, policy)
    clear_s = _clear_s(evidence, proposal, last)
    if clear_s >= rearm_s and since_s >= rearm_s:
        return None
    return (
        f"the same cause was {last.state.value} {span(since_s)} ago and must be clear for {span(rearm_s)} first "
        f"(so far {span(clear_s)})"
    )


def _same_occurrence(proposal: Proposal, last: GoalView, period_s: float) -> str | None:
    apart_s = abs((proposal.deadline - last.goal.deadline).total_seconds())
    return "this occurrence already had a goal" if apart_s < period_s / 2 else None


def _too_early(
    evidence: Evidence, last: GoalView, attempts: int, objective: Objective | None, policy: GoalPolicy
) -> str | None:
    since_s = (evidence.tick - last.since).total_seconds()
    wait_s = min(86_400.0, policy.grace_s(objective) * 2.0 ** (attempts - 1))
    if since_s >= wait_s:
        return None
    return f"it {last.state.value} {span(since_s)} ago and is tried again after {span(wait_s)}"


def _window(evidence: Evidence, proposal: Proposal, span_s: float) -> ObservedWindow | None:
    is_bounded = proposal.series is not None and proposal.bound is not None and span_s > 0
    return evidence.window(str(proposal.series), span_s) if is_bounded else None


def _is_broken_again(evidence: Evidence, proposal: Proposal, since_s: float, rearm_s: float) -> bool:
    """Tell whether every value has been beyond the bound for long enough, at most since the last goal closed."""
    window = _window(evidence, proposal, since_s)
    if window is None or proposal.bound is None:
        return False
    other: Side = "above" if proposal.side == "below" else "below"
    clearly_s = held_for_s(window, proposal.bound, other, margin_of(window, proposal.bound))
    return held_for_s(window, proposal.bound, other) >= rearm_s or clearly_s >= _CLEARLY_BROKEN_RATIO * rearm_s


def _clear_s(evidence: Evidence, proposal: Proposal, last: GoalView) -> float:
    """Return for how long the series kept clear of the bound by a margin since the last goal was raised."""
    window = _window(evidence, proposal, (evidence.tick - last.goal.created_at).total_seconds())
    if window is None or proposal.bound is None:
        return (evidence.tick - last.since).total_seconds()
    return longest_clear_s(window, proposal.bound, proposal.side, margin_of(window, proposal.bound))
