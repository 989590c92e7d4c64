"""From records to what is shown; nothing here reads a store or a clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from api.facade import Facade
from api.models.goals import ActionDetail, Actions, AvailableAction, GoalDetail, GoalsOverview, GoalSummary
from api.models.sequences import SequenceShown, SequenceStep
from handlers import ActionHandler, discover_actions
from storage.actions import ActionView
from storage.errors import ForeactError
from storage.facts import EARLY_VERDICTS, SEQUENCE_ENDS, STANDINGS, WAITS
from storage.private import masked_in
from storage.records import Decision, GoalView, Outcome, sequence_name
from tasks.authority import as_it_stands
from tasks.configured_actions import actions_in_force, configured_actions
from tasks.objectives.conflicts import conflicts
from tasks.objectives.in_force import ORIGIN_IN_WORDS, objectives_with_origin
from tasks.text import moment, unit_of, value


def summary(view: GoalView, standing: str | None = None) -> GoalSummary:
    """Show a goal with its state; `standing` says how it stood at the last turn."""
    own = view.goal.model_dump(include=set(GoalSummary.model_fields))
    state = {"state": view.state, "progress": view.progress, "reason": view.reason, "since": view.since}
    return GoalSummary(**own, **state, now=told_now(view, standing))


def told_now(view: GoalView, standing: str | None) -> str:
    """Return what was when a goal was set and what is now; what was then alone, while it is from this very turn."""
    goal, sentence = view.goal, str(view.goal.because.get("sentence") or f"{view.goal.description}.")
    if view.is_open and standing is None and view.since == goal.created_at:
        return sentence
    then = (goal.because.get("inputs") or {}).get("value")
    if goal.series is not None and not goal.members and isinstance(then, int | float):
        before = value(then, unit_of(goal.series))
        was = f"{goal.series} was {before} when this goal was set, at {moment(goal.created_at)}."
    else:
        was = f"When this goal was set, at {moment(goal.created_at)}: {sentence}"
    if view.is_open:
        return f"{was} Now {standing or view.reason}."
    return f"{was} It ended as {view.state} at {moment(view.since)}: {view.reason}."


def awaits_approval(view: ActionView, now: datetime) -> bool:
    """Tell whether an action waits for a person."""
    return view.awaits_approval(now)


def action_status(view: ActionView, now: datetime) -> str:
    """Say in a word or two where an action stands."""
    if view.receipt is not None:
        return str(view.receipt.status)
    if view.intent is not None:
        return "running"
    if view.approval is not None and not view.approval.approved:
        return "rejected"
    if now >= view.action.expires_at:
        return "expired"
    return "waiting for approval" if awaits_approval(view, now) else "scheduled"


def action_as_shown(
    view: ActionView, outcomes: Sequence[Outcome], undone_by: str | None, now: datetime, secrets: frozenset[str]
) -> ActionDetail:
    """Show an action with everything recorded of it, but for `secrets` in the state that its undo goes back to."""
    intent, receipt = view.intent, view.receipt
    return ActionDetail(
        status=action_status(view, now),
        needs_approval=awaits_approval(view, now),
        action=view.action,
        approval=view.approval,
        intent=intent and intent.model_copy(update={"before": masked_in(intent.before, secrets)}),
        receipt=receipt and receipt.model_copy(update={"undo": masked_in(receipt.undo, secrets)}),
        outcomes=list(outcomes),
        undone_by=undone_by,
    )


GoalFilter = Literal["open", "closed", "all"]
ALL_TIME = timedelta(days=36_500)
OUTCOMES_PER_ACTION = 5


def overview(facade: Facade, which: GoalFilter = "open") -> GoalsOverview:
    """Return goals, the open ones most important first and the closed ones newest first."""
    store = facade.store
    opened = store.goals.open()
    shown = opened if which != "closed" else []
    if which != "open":
        shown = [*shown, *store.goals.recent(facade.clock() - ALL_TIME)]
    standings = store.facts.get(STANDINGS) or {}
    statements = [conflict.statement for conflict in conflicts(view.goal for view in opened)]
    goals = [summary(view, standings.get(view.goal.goal_id)) for view in shown]
    return GoalsOverview(total_active_goals=len(opened), goals=goals, conflicts=statements)


def detail(facade: Facade, goal_id: str) -> GoalDetail:
    """Return one goal with all that belongs to it; raises `goal_unknown`."""
    store = facade.store
    view = store.goals.get(goal_id)
    if view is None:
        raise unknown_goal(goal_id)
    now = facade.clock()
    actions = [action_detail(facade, action, now) for action in store.actions.of_goal(goal_id)]
    children = [child for child in store.goals.open() if child.goal.parent_id == goal_id]
    standings = store.facts.get(STANDINGS) or {}
    known = objectives_with_origin(facade.in_force, store).get(view.goal.objective or "")
    return GoalDetail(
        **summary(view, standings.get(goal_id)).model_dump(),
        objective_from=ORIGIN_IN_WORDS[known[1]] if known else None,
        history=store.goals.transitions(goal_id),
        decisions=store.decisions.of_goal(goal_id),
        plans=store.decisions.plans_of_goal(goal_id),
        actions=actions,
        children=[summary(child, standings.get(child.goal.goal_id)) for child in children],
    )


def decision(facade: Facade, decision_id: str) -> Decision:
    """Return one decision; raises `decision_unknown`."""
    record = facade.store.decisions.get(decision_id)
    if record is None:
        remedy = "GET /api/autonomous/goals/{goal_id} lists the decisions of a goal."
        raise ForeactError("decision_unknown", f"There is no decision {decision_id}.", remedy, status=404)
    return record


def unknown_goal(goal_id: str) -> ForeactError:
    """Say that there is no such goal."""
    remedy = "GET /api/autonomous/goals?state=all lists them."
    return ForeactError("goal_unknown", f"There is no goal {goal_id}.", remedy, status=404)


def as_they_stand(facade: Facade, views: Iterable[ActionView]) -> list[ActionView]:
    """Return actions at the level that is in force for them now: that decides which of them wait for a person."""
    settings = facade.in_force
    actions = configured_actions(settings)
    return [as_it_stands(settings, actions, facade.store, view) for view in views]


def action_detail(facade: Facade, view: ActionView, now: datetime) -> ActionDetail:
    """Return an action with its outcomes and its undo."""
    action_id, (view,) = view.action.action_id, as_they_stand(facade, [view])
    outcomes = facade.store.outcomes.of_action(action_id) if view.receipt else []
    undo = facade.store.actions.undo_for(action_id) if view.receipt else None
    undone_by = undo.action.action_id if undo else None
    shown_detail = action_as_shown(view, outcomes, undone_by, now, facade.in_force.secrets())
    early = (facade.store.facts.get(EARLY_VERDICTS) or {}).get(action_id)
    more = {"waits_for": waits_for(facade, [view]).get(action_id), "early": early}
    return shown_detail.model_copy(update={**more, "sequence": sequence(facade, view.action.sequence_id, now)})


def sequence(facade: Facade, sequence_id: str, now: datetime) -> SequenceShown | None:
    """Return a sequence with what became of each step; None where there is none of that id."""
    views = as_they_stand(facade, facade.store.actions.of_sequence(sequence_id)) if sequence_id else []
    if not views:
        return None
    undos = facade.store.actions.undos_of([view.action.action_id for view in views])
    end = facade.store.facts.get(SEQUENCE_ENDS.of(sequence_id))
    steps = [
        SequenceStep(
            **view.action.model_dump(include={"action_id", "name", "target", "position"}),
            status=action_status(view, now),
            detail=view.receipt.detail if view.receipt else "",
            undone_by=undos[view.action.action_id][-1].action.action_id if view.action.action_id in undos else None,
        )
        for view in views
    ]
    return SequenceShown(
        sequence_id=sequence_id,
        name=sequence_name(views[0].action.steps),
        goal_id=views[0].action.goal_id,
        steps=steps,
        how=end.how if end else None,
        reason=end.reason if end else "It is under way, or waits to begin.",
        ended_at=end.at if end else None,
    )


def waits_for(facade: Facade, views: list[ActionView]) -> dict[str, str]:
    """Return what the actions wait for that are due and may not be done yet, as the executor last found."""
    open_ids = {view.action.action_id for view in views if view.receipt is None and view.intent is None}
    waits = (facade.store.facts.get(WAITS) if open_ids else None) or {}
    return {action_id: wait.reason for action_id, wait in waits.items() if action_id in open_ids}


def awaiting(facade: Facade, now: datetime) -> list[ActionView]:
    """Return the actions that wait for a person's answer."""
    return waiting_among(as_they_stand(facade, facade.store.actions.pending()), now)


def waiting_among(views: Iterable[ActionView], now: datetime) -> list[ActionView]:
    """Return those that wait for a person's answer; the answer to the first step of a sequence is for all its steps."""
    waiting = [view for view in views if awaits_approval(view, now)]
    asked = {view.action.sequence_id for view in waiting if not view.action.position}
    return [view for view in waiting if not (view.action.position and view.action.sequence_id in asked)]


def actions_here(facade: Facade) -> dict[str, ActionHandler]:
    """Return every action that code here carries out, or a tagged deployment does, as it is configured, by name."""
    # Loaded where it is needed: a command that lists goals asks no Prefect and is quick without.
    from api.prefect_client import authorization, deployed_actions

    settings = facade.in_force
    registered = discover_actions(settings.folder)
    registered |= deployed_actions(settings.prefect_url, registered, authorization(settings))
    found = actions_in_force(settings, facade.store, registered)
    return {name: each for name, each in sorted(found.items()) if each.is_carried_out_here}


def available_actions(facade: Facade) -> list[AvailableAction]:
    """Return the actions that there are."""
    return [_available(each) for each in actions_here(facade).values()]


def _available(action: ActionHandler) -> AvailableAction:
    own = {name: getattr(action, name) for name in ("name", "summary", "level", "risk", "enabled", "reversible")}
    try:
        schema = action.parameter_schema
    except ValueError as trouble:
        schema = {"type": "object", "properties": {}, "description": str(trouble)}
    return AvailableAction(
        **own,
        ready=action.is_ready,
        needs=list(action.needs),
        options=dict(action.options),
        parameters=schema,
        duration_s=action.duration_s,
    )


def latest_actions(facade: Facade, limit: int) -> Actions:
    """Return the newest actions; three reads however many there are."""
    now, views = facade.clock(), as_they_stand(facade, facade.store.actions.latest(limit))
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in facade.store.outcomes.latest(OUTCOMES_PER_ACTION * limit):
        outcomes[outcome.action_id].append(outcome)
    undone = {view.action.undo_of: view.action.action_id for view in views if view.action.undo_of}
    secrets = facade.in_force.secrets()
    shown = [
        action_as_shown(view, outcomes[view.action.action_id], undone.get(view.action.action_id), now, secrets)
        for view in views
    ]
    waits = waits_for(facade, views)
    details = [each.model_copy(update={"waits_for": waits.get(each.action.action_id)}) for each in shown]
    return Actions(actions=details)
