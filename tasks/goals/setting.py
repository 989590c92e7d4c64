"""Set goals: review those that are open, then raise what the rules propose, each cause once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from storage.records import Goal, GoalState, GoalView, Transition, stable_id
from tasks.goals.changes import Declined, GoalChanges
from tasks.goals.discovery import discover_rules
from tasks.goals.evidence import Evidence, Proposal, Rule
from tasks.goals.family import with_children
from tasks.goals.groups import FEWEST_MEMBERS, group_cause, grouped
from tasks.goals.policy import GoalPolicy
from tasks.goals.rearm import not_rearmed
from tasks.goals.review import review
from tasks.goals.statistics.measures import priority_of, urgency_of
from tasks.objectives.conflicts import Conflict, contradictions
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

    @property
    def group(self) -> str | None:
        """Return the cause of a goal for all series of its objective that are broken alike, if there can be one."""
        cause = group_cause(self.proposal.cause, self.proposal.objective, self.proposal.series)
        return None if cause is None else f"{self.rule.goal_type}:{cause}"


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
    proposals, declined = _propose(evidence, served)
    alike = _alike(proposals)
    own, standings = {}, {}
    for view in open_goals:
        series = [str(each.proposal.series) for each in alike.get(view.goal.cause, ())]
        standings[view.goal.goal_id], own[view.goal.goal_id] = review(view, evidence, by_name, policy, series)
    reviewed, amiss = with_children(open_goals, recent, own, evidence, policy)
    transitions = [move for move in reviewed.values() if move is not None]
    still_open = [view for view in open_goals if not _closes(reviewed[view.goal.goal_id])]
    closed_now = [_closed(view, move) for view in open_goals if (move := reviewed[view.goal.goal_id]) and _closes(move)]
    declined += amiss + _refuse(evidence, proposals, still_open, [*recent, *closed_now], policy)
    refused = {each.cause for each in declined}
    armed = [each for each in proposals if each.cause not in refused]
    ranked, joining = _gathered(armed, still_open, evidence)
    kept_open = [view for view in still_open if view.goal.goal_id not in {move.goal_id for move in joining}]
    taken, displaced, crowded = _fit_in(ranked, kept_open, proposals, max_active_goals, policy, evidence)
    displaced += joining
    new = _linked([_goal_of(each, evidence, cycle_id) for each in taken], still_open, evidence)
    displaced_ids = {move.goal_id for move in displaced}
    kept = [move for move in transitions if move.goal_id not in displaced_ids]
    return GoalChanges(tuple(new), (*kept, *displaced, *_openings(new)), (*declined, *crowded), standings)


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
    return _by_priority(proposals.values()), declined


def _weighed(rule: Rule, proposal: Proposal, evidence: Evidence) -> _Weighed:
    urgency = urgency_of(evidence.tick, proposal.deadline)
    return _Weighed(rule, proposal, urgency, priority_of(proposal.probability, proposal.severity, urgency))


def _alike(proposals: Iterable[_Weighed]) -> dict[str, list[_Weighed]]:
    """Return the proposals about series of one objective, by the cause of a goal for all of them."""
    alike: dict[str, list[_Weighed]] = {}
    for each in proposals:
        if each.group is not None:
            alike.setdefault(each.group, []).append(each)
    return alike


def _gathered(
    armed: Sequence[_Weighed], still_open: Sequence[GoalView], evidence: Evidence
) -> tuple[list[_Weighed], list[Transition]]:
    """Return the proposals, many alike as one, and the open goals that become part of one that is new.

    What takes open goals in comes first: it frees at least the place that it needs.
    """
    singles: dict[str, list[GoalView]] = {}
    for view in still_open:
        cause = group_cause(view.goal.cause, view.goal.objective, view.goal.series)
        if cause is not None and not view.goal.members:
            singles.setdefault(f"{view.goal.goal_type}:{cause}", []).append(view)
    first: list[_Weighed] = []
    ranked, joining = list(armed), []
    for cause, members in _alike(armed).items():
        parts = singles.get(cause, [])
        if len(members) + len(parts) < FEWEST_MEMBERS:
            continue
        made = grouped([each.proposal for each in members], [str(view.goal.series) for view in parts], evidence)
        worst = next(each for each in members if each.proposal.series == made.series)
        causes = {each.cause for each in members}
        ranked = [each for each in ranked if each.cause not in causes]
        (first if parts else ranked).append(_weighed(worst.rule, made, evidence))
        joining += [_moved(view, f"it is part of one goal now: {made.description}", evidence) for view in parts]
    return [*first, *_by_priority(ranked)], joining


def _by_priority(proposals: Iterable[_Weighed]) -> list[_Weighed]:
    return sorted(proposals, key=lambda each: (-each.priority, each.cause))


def _refuse(
    evidence: Evidence,
    proposals: Sequence[_Weighed],
    still_open: Sequence[GoalView],
    closed: Sequence[GoalView],
    policy: GoalPolicy,
) -> list[Declined]:
    """Return the proposals that are pursued already, not yet re-armed, or contradict a weightier objective."""
    pursued = {view.goal.cause for view in still_open}
    opposed = contradictions(evidence.objectives) if proposals else ()
    refused = []
    for each in proposals:
        if not pursued.isdisjoint((each.cause, each.group)):
            refused.append(Declined(each.cause, "a goal for this cause is already open"))
            continue
        same = [view for view in closed if view.goal.cause in (each.cause, each.group)]
        reason = _contradicted(evidence, each.proposal, opposed) or not_rearmed(evidence, each.proposal, same, policy)
        if reason is not None:
            refused.append(Declined(each.cause, reason))
    return refused


def _contradicted(evidence: Evidence, proposal: Proposal, opposed: Sequence[Conflict]) -> str | None:
    by_name = {objective.name: objective for objective in evidence.objectives} if opposed else {}
    for conflict in opposed:
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
        lesser = [pair for pair in weights.values() if _gives_way(*pair, each, policy)]
        if not lesser:
            floor = min((weight for weight, _ in weights.values()), default=None)
            lowest = f", the lowest with priority {number(floor)}" if floor is not None else ""
            reason = f"{most} goals are open, the most allowed{lowest}; this one has priority {number(each.priority)}"
            crowded.append(Declined(each.cause, reason))
            continue
        _, view = min(lesser, key=lambda pair: (pair[0], pair[1].goal.severity))
        del weights[view.goal.goal_id]
        better = f"replaced by a goal of higher priority ({number(each.priority)}): {each.proposal.description}"
        displaced.append(_moved(view, better, evidence))
        taken.append(each)
    return taken, displaced, crowded


def _gives_way(weight: float, view: GoalView, each: _Weighed, policy: GoalPolicy) -> bool:
    """Tell whether an open goal of a weight gives way to a proposal.

    To one that matters far more, to one that is graver and matters more, and if it only informs, to any that acts.
    """
    lead = policy.supersede_lead
    if view.goal.informs and not each.rule.informs:
        return True
    is_graver = each.proposal.severity > view.goal.severity + lead and each.priority > weight + lead
    return is_graver or each.priority >= max(policy.supersede_factor * weight, weight + lead)


def _present_weights(
    still_open: Sequence[GoalView], proposals: Sequence[_Weighed]
) -> dict[str, tuple[float, GoalView]]:
    """Return what open goals weigh today: by their rule's present proposal where there is one; blocked ones half."""
    present: dict[str, float] = {}
    for each in proposals:
        for cause in filter(None, (each.cause, each.group)):
            present[cause] = max(present.get(cause, 0.0), each.priority)
    weights = {}
    for view in still_open:
        weight = max(view.goal.priority, present.get(view.goal.cause, 0.0))
        weights[view.goal.goal_id] = (weight * (_BLOCKED_WEIGHT if view.state is GoalState.BLOCKED else 1.0), view)
    return weights


def _moved(view: GoalView, reason: str, evidence: Evidence) -> Transition:
    """Return the end of a goal that another one takes the place of."""
    return Transition(
        goal_id=view.goal.goal_id,
        state=GoalState.SUPERSEDED,
        at=evidence.tick,
        reason=reason,
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
        informs=each.rule.informs,
        members=proposal.members,
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
