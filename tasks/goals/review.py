"""Where an open goal moves to, by what is measured."""

from __future__ import annotations

from collections.abc import Collection

from storage.records import Goal, GoalState, GoalView, Objective, Transition
from tasks.goals.evidence import Evidence, Rule, Standing
from tasks.goals.groups import members_now, standing_of_members
from tasks.goals.policy import GoalPolicy
from tasks.goals.standing import gone_standing, silent_driver
from tasks.text import chance, moment, span

_APPROACH_SHARE = 0.8


def review(
    view: GoalView, evidence: Evidence, rules: dict[str, Rule], policy: GoalPolicy, proposed: Collection[str] = ()
) -> tuple[Standing, Transition | None]:
    """Return how an open goal stands and where it moves to; None where nothing changes.

    It is judged by the rule that set it, one that was stored without by the rule that bears the name of its type. Of a
    goal with members, `proposed` are the series that are broken alike now.
    """
    standing = _standing(view.goal, evidence, rules, proposed)
    objective = evidence.objective(view.goal.objective)
    if view.goal.objective is not None and objective is None:
        standing = gone_standing(f"its objective {view.goal.objective} is no longer configured")
        return standing, _move(view, evidence, GoalState.CANCELLED, standing.statement, view.progress)
    progress = progress_of(standing, policy.stabilisation_s(objective))
    state, reason = _next_state(view, evidence, standing, objective, policy)
    progress = 1.0 if state is GoalState.ACHIEVED else view.progress if standing.is_silent else progress
    is_news = state is not view.state or abs(progress - view.progress) >= policy.progress_step
    return standing, _move(view, evidence, state, reason, progress) if is_news else None


def _standing(goal: Goal, evidence: Evidence, rules: dict[str, Rule], proposed: Collection[str]) -> Standing:
    name = goal.rule or goal.goal_type.lower()
    rule = rules.get(name)
    if rule is None:
        return gone_standing(f"its rule {name} is no longer there")
    members = members_now(goal, proposed, evidence)
    standing = standing_of_members(goal, members, evidence, rule) if members else rule.standing(goal, evidence)
    driver = silent_driver(goal, evidence)
    return driver if driver is not None and standing.is_met else standing


def progress_of(standing: Standing, stabilisation_s: float) -> float:
    """Return progress in [0, 1]: four fifths for the way to the bound, the rest for holding it."""
    is_there = standing.is_met and standing.approach >= 1.0
    held_ratio = min(1.0, standing.held_s / stabilisation_s) if is_there else 0.0
    return min(0.99, _APPROACH_SHARE * standing.approach + (1 - _APPROACH_SHARE) * held_ratio)


def _next_state(
    view: GoalView, evidence: Evidence, standing: Standing, objective: Objective | None, policy: GoalPolicy
) -> tuple[GoalState, str]:
    late_s = (evidence.tick - view.goal.deadline).total_seconds()
    is_late = late_s > policy.grace_s(objective)
    if standing.is_silent:
        blocked_s = (evidence.tick - view.since).total_seconds() if view.state is GoalState.BLOCKED else 0.0
        if is_late and blocked_s > policy.grace_s(objective):
            return GoalState.EXPIRED, f"its deadline passed {span(late_s)} ago and {standing.statement}"
        return GoalState.BLOCKED, standing.statement
    stabilisation_s = policy.stabilisation_s(objective)
    is_unlikely = standing.probability <= policy.unlikely(objective)
    if standing.is_met and is_unlikely and standing.held_s >= stabilisation_s:
        held = f"for {span(standing.held_s)}" if standing.held_s < 1e9 else "by its trend"
        return GoalState.ACHIEVED, (
            f"{standing.statement}; it has held {held}, and a breach is {chance(standing.probability)} likely"
        )
    if standing.is_over:
        is_harmless = standing.is_met or standing.probability < 1.0 or view.goal.informs
        state = GoalState.EXPIRED if is_harmless else GoalState.FAILED
        return state, standing.statement
    if late_s > policy.patience_s(objective) and not standing.is_met:
        since = moment(view.goal.deadline)
        return GoalState.FAILED, f"{standing.statement}; its deadline was {since} and nothing worked"
    # What drives the metric still calls for it: that it held is what was done about it.
    is_called_for = objective is not None and objective.driver is not None and not is_unlikely
    if is_late and standing.held_s >= policy.grace_s(objective) and not is_called_for:
        return GoalState.EXPIRED, (
            f"{standing.statement}; the breach predicted for {moment(view.goal.deadline)} did not come, "
            f"though it is still {chance(standing.probability)} likely"
        )
    return GoalState.ACTIVE, standing.statement


def _move(view: GoalView, evidence: Evidence, state: GoalState, reason: str, progress: float) -> Transition:
    return Transition(goal_id=view.goal.goal_id, state=state, at=evidence.tick, reason=reason, progress=progress)
