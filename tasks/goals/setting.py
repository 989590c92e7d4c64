"""Set goals: review those that are open, then raise what the rules propose, each cause once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from storage.records import Goal, GoalState, GoalView, Transition, stable_id
from tasks.goals.changes import Declined, GoalChanges
from tasks.goals.discovery import discover_rules
from tasks.goals.evidence import Evidence, Proposal, Rule
from tasks.goals.family import with_children
from tasks.goals.policy import GoalPolicy
from tasks.goals.rearm import not_rearmed
from tasks.goals.review import review
from tasks.goals.statistics.measures import priority_of, urgency_of
from tasks.objectives.conflicts import contradictions
from tasks.text import number

_BLOCKED_WEIGHT = 0.5


@dataclass(frozen=True)
class _Weighed:
    """A proposal of a rule, and how much it matters that it becomes a goal."""

    rule: Rule
    proposal: Proposal
    urgency: float
    priority: float

    @property
    def cause(self) -> str:
        """Return what it is about, by which goals are told apart."""
        return f"{self.rule.goal_type}:{self.proposal.cause}"


def set_goals(
    evidence: Evidence,
    open_goals: Sequence[GoalView],
    recent: Sequence[GoalView],
    *,
    max_active_goals: int,
    cycle_id: str,
    rules: Iterable[Rule] | None = None,
    policy: GoalPolicy = GoalPolicy(),
) -> GoalChanges:
    """Return what this cycle changes about the goals.

    `open_goals` are all that still ask for something, `recent` those closed lately (a day or more): they tell which
    causes must have been clear for a while before they are raised again. A rule that fails is declined with its
    error, the others carry on. The same evidence and goals give the same changes, ids included.
    """
    served = tuple(rules) if rules is not None else discover_rules()
    by_name = {rule.name: rule for rule in served}
    own = {view.goal.goal_id: review(view, evidence, by_name, policy)[1] for view in open_goals}
    reviewed, amiss = with_children(open_goals, recent, own, evidence, policy)
    transitions = [move for move in reviewed.values() if move is not None]
    still_open = [view for view in open_goals if not _closes(reviewed[view.goal.goal_id])]
    closed_now = [_closed(view, move) for view in open_goals if (move := reviewed[view.goal.goal_id]) and _closes(move)]
    proposals, declined = _propose(evidence, served)
    declined += amiss + _refuse(evidence, proposals, still_open, [*recent, *closed_now], policy)
    refused = {each.cause for each in declined}
    ranked = [each for each in proposals if each.cause not in refused]
    taken, displaced, crowded = _fit_in(ranked, still_open, proposals, max_active_goals, policy, evidence)
    new = _linked([_goal_of(each, evidence, cycle_id) for each in taken], still_open, evidence)
    displaced_ids = {move.goal_id for move in displaced}
    kept = [move for move in transitions if move.goal_id not in displaced_ids]
    return GoalChanges(tuple(new), (*kept, *displaced, *_openings(new)), (*declined, *crowded))


def _closes(move: Transition | None) -> bool:
    return move is not None and move.state.is_terminal


def _closed(view: GoalView, move: Transition) -> GoalView:
    return view.model_copy(update={"state": move.state, "since": move.at})


def _propose(evidence: Evidence, rules: Sequence[Rule]) -> tuple[list[_Weighed], list[Declined]]:
    """Return what the rules propose, the likeliest of each cause, by falling priority; and which rules failed."""
    proposals: dict[str, _Weighed] = {}
    declined: list[Declined] = []
    for rule in rules:
        try:
            for proposal in rule.propose(evidence):
                each = _weighed(rule, proposal, evidence)
                earlier = proposals.get(each.cause)
                if earlier is None or proposal.probability > earlier.proposal.probability:
                    proposals[each.cause] = each
        except Exception as trouble:
            reason = f"the rule failed and was skipped in this cycle: {type(trouble).__name__}: {trouble}"
            declined.append(Declined(f"rule:{rule.name}", reason))
    return sorted(proposals.values(), key=lambda each: (-each.priority, each.cause)), declined


def _weighed(rule: Rule, proposal: Proposal, evidence: Evidence) -> _Weighed:
    urgency = urgency_of(evidence.tick, proposal.deadline)
    return _Weighed(rule, proposal, urgency, priority_of(proposal.probability, proposal.severity, urgency))


def _refuse(
    evidence: Evidence,
    proposals: Sequence[_Weighed],
    still_open: Sequence[GoalView],
    closed: Sequence[GoalView],
    policy: GoalPolicy,
) -> list[Declined]:
    """Return the proposals that are pursued already, not yet re-armed, or contradict a weightier objective."""
    pursued = {view.goal.cause for view in still_open}
    refused = [
        Declined(each.cause, "a goal for this cause is already open") for each in proposals if each.cause in pursued
    ]
    for each in proposals:
        if each.cause in pursued:
            continue
        same = [view for view in closed if view.goal.cause == each.cause]
        reason = _contradicted(evidence, each.proposal) or not_rearmed(evidence, each.proposal, same, policy)
        if reason is not None:
            refused.append(Declined(each.cause, reason))
    return refused


def _contradicted(evidence: Evidence, proposal: Proposal) -> str | None:
    by_name = {objective.name: objective for objective in evidence.objectives}
    for conflict in contradictions(evidence.objectives):
        if proposal.objective in (conflict.left, conflict.right):
            other = by_name[conflict.right if proposal.objective == conflict.left else conflict.left]
            mine = by_name[str(proposal.objective)]
            if (mine.severity, mine.name) < (other.severity, other.name):
                return f"{conflict.statement} {other.name} has more weight, so only that one is pursued."
    return None


def _fit_in(
    ranked: Sequence[_Weighed],
    still_open: Sequence[GoalView],
    proposals: Sequence[_Weighed],
    most: int,
    policy: GoalPolicy,
    evidence: Evidence,
) -> tuple[list[_Weighed], list[Transition], list[Declined]]:
    """Return the proposals that become goals, the goals that give way to them, and the proposals left out."""
    weights = _present_weights(still_open, proposals)
    taken: list[_Weighed] = []
    displaced: list[Transition] = []
    crowded: list[Declined] = []
    for each in ranked:
        if len(weights) + len(taken) < most:
            taken.append(each)
            continue
        least = min(weights.values(), key=lambda pair: pair[0], default=None)
        enough = least is not None and each.priority >= max(
            policy.supersede_factor * least[0], least[0] + policy.supersede_lead
        )
        if least is None or not enough:
            floor = f", the lowest with priority {number(least[0])}" if least else ""
            reason = f"{most} goals are open, the most allowed{floor}; this one has priority {number(each.priority)}"
            crowded.append(Declined(each.cause, reason))
            continue
        view = least[1]
        del weights[view.goal.goal_id]
        displaced.append(_superseded(view, each, evidence))
        taken.append(each)
    return taken, displaced, crowded


def _present_weights(
    still_open: Sequence[GoalView], proposals: Sequence[_Weighed]
) -> dict[str, tuple[float, GoalView]]:
    """Return what open goals weigh today: by their rule's present proposal where there is one; blocked ones half."""
    present = {each.cause: each.priority for each in proposals}
    weights = {}
    for view in still_open:
        weight = max(view.goal.priority, present.get(view.goal.cause, 0.0))
        weights[view.goal.goal_id] = (weight * (_BLOCKED_WEIGHT if view.state is GoalState.BLOCKED else 1.0), view)
    return weights


def _superseded(view: GoalView, by: _Weighed, evidence: Evidence) -> Transition:
    return Transition(
        goal_id=view.goal.goal_id,
        state=GoalState.SUPERSEDED,
        at=evidence.tick,
        reason=f"replaced by a goal of higher priority ({number(by.priority)}): {by.proposal.description}",
        progress=view.progress,
    )


def _goal_of(each: _Weighed, evidence: Evidence, cycle_id: str) -> Goal:
    proposal, objective = each.proposal, evidence.objective(each.proposal.objective)
    return Goal(
        goal_id=stable_id("goal", cycle_id, each.cause),
        goal_type=each.rule.goal_type,
        rule=each.rule.name,
        description=proposal.description,
        cause=each.cause,
        objective=proposal.objective,
        series=proposal.series,
        bound=proposal.bound,
        side=proposal.side,
        baseline=proposal.baseline,
        severity=proposal.severity,
        probability=proposal.probability,
        urgency=each.urgency,
        priority=each.priority,
        created_at=evidence.tick,
        deadline=proposal.deadline,
        because=dict(proposal.because),
        composition=objective.composition if objective else "and",
    )


def _linked(new: Sequence[Goal], still_open: Sequence[GoalView], evidence: Evidence) -> list[Goal]:
    """Give each new goal its parent: the open goal of the objective that its own objective names as parent."""
    by_objective = {goal.objective: goal.goal_id for goal in [*(view.goal for view in still_open), *new]}
    linked = []
    for goal in new:
        objective = evidence.objective(goal.objective)
        parent = by_objective.get(objective.parent) if objective and objective.parent else None
        parent = parent if parent != goal.goal_id else None
        linked.append(goal.model_copy(update={"parent_id": parent}) if parent else goal)
    return linked


def _openings(new: Sequence[Goal]) -> list[Transition]:
    """Return proposed, then active, for each new goal: its history has both."""
    moves = []
    for goal in new:
        proposed = Transition(
            goal_id=goal.goal_id, state=GoalState.PROPOSED, at=goal.created_at, reason=goal.because["sentence"]
        )
        active = "it is among the goals that may be pursued"
        moves += [proposed, proposed.model_copy(update={"state": GoalState.ACTIVE, "reason": active})]
    return moves
