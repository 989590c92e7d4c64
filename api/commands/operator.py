"""What people decide: each a durable row, a line in the audit trail, and a run of `tend` where there is work."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from api import queries
from api.access import is_same
from api.facade import Facade
from api.models.goals import Answer, Answered
from api.prefect_client import Started
from storage.actions import ActionView
from storage.errors import ForeactError
from storage.facts import KILL_SWITCH, WAITS
from storage.records import Action, Approval, Autonomy, GoalState, Strategy, Transition, stable_id
from tasks.authority import hold_everything, release_everything, switch
from tasks.configured_actions import configured_actions
from tasks.interventions.undo import keeps_state, undo_of

logger = logging.getLogger(__name__)

BY_HAND = "by-hand"


def set_mode(facade: Facade, autonomous: bool, by: str, note: str = "") -> None:
    """Turn the loop's permission to act by itself on or off."""
    switch(facade.in_force, facade.store, autonomous, by)
    facade.store.audit.append(by, "set mode", "mode", {"autonomous": autonomous, **({"note": note} if note else {})})


def set_kill_switch(facade: Facade, is_on: bool, by: str, note: str) -> None:
    """Turn the kill switch on or off: the file is what counts, and comes first; then the line that says who and why.

    A second person's stop is a line as well.
    """
    path = facade.settings.kill_switch_path
    if is_on is not path.exists():
        if is_on:
            hold_everything(facade.settings, f"{by}: {note}")
        else:
            release_everything(facade.settings)
        facade.store.facts.set(KILL_SWITCH, is_on, by)
    elif not is_on:
        return
    facade.store.audit.append(by, f"kill switch {'on' if is_on else 'off'}", str(path), {"note": note})


def start_cycle(facade: Facade, key: str | None) -> Started:
    """Start a cycle; raises `cycle_running` where one is under way: a second one would be skipped."""
    running = facade.trigger.running("cycle", but=key)
    if running is not None:
        raise ForeactError(
            "cycle_running",
            f"A cycle is already running or about to start, as flow run {running.flow_run_id}.",
            f"Try again when it has ended: {running.url}",
            status=409,
        )
    return facade.trigger.run("cycle", {"reason": "request"}, key)


def start_backtest(facade: Facade, asked: Mapping[str, Any]) -> Started:
    """Start a backtest; raises `backtest_running` where one is under way: many that wait would keep Prefect busy."""
    running = facade.trigger.running("backtest")
    if running is not None:
        raise ForeactError(
            "backtest_running",
            f"A backtest is already running or about to start, as flow run {running.flow_run_id}.",
            f"Start another when it has ended, or cancel it: {running.url}",
            status=409,
        )
    return facade.trigger.run("backtest", asked)


def answer_action(facade: Facade, action_id: str, answer: Answer, approved: bool, once: bool = False) -> Answered:
    """Record a person's answer to one action; the same answer twice is one, unless it may be given `once`."""
    view = existing(facade, action_id)
    if (
        not once
        and view.approval is not None
        and (view.approval.approved, view.approval.params) == (approved, answer.params)
    ):
        return Answered(subject=action_id, done=_word(approved), action_ids=[action_id], note="It was already.")
    refuse_unanswerable(facade, view)
    if approved:
        _refuse_own(view.action, answer)
    _refuse_amount_out_of_range(facade, view.action, answer)
    _record_answer(facade, view, answer, approved)
    started, note = tend(facade, f"answer-{action_id}", "approval") if approved else (None, "")
    note = f"{_unplanned(view.action, answer)} {note}".strip()
    return Answered(subject=action_id, done=_word(approved), action_ids=[action_id], flow_run_id=started, note=note)


def rehearse_action(facade: Facade, action_id: str, answer: Answer) -> Answered:
    """Have a dry run of an action: an action of its own, which touches nothing and leaves the other waiting."""
    view = existing(facade, action_id)
    if view.action.undo_of is not None or facade.clock() >= view.action.expires_at:
        status = queries.goals.action_status(view, facade.clock())
        detail = f"{action_id} is {'an undo' if view.action.undo_of else status}; it cannot be rehearsed."
        raise ForeactError("nothing_to_rehearse", detail, "Rehearse an action that has not run yet.", status=409)
    now = facade.clock()
    rehearsal = view.action.model_copy(
        update={
            "action_id": stable_id("action", "rehearsal", action_id, now.isoformat()),
            "params": {**view.action.params, **(answer.params or {})},
            "level": Autonomy.APPROVE,
            "strategy": Strategy.IMMEDIATE,
            "created_at": now,
            "due_at": now,
            "dry_run": True,
            "proposed_by": "",
        }
    )
    facade.store.actions.append([rehearsal], BY_HAND)
    facade.store.actions.approve(_approval(facade, rehearsal, answer.model_copy(update={"params": None}), True))
    detail_kept = {"rehearsal": rehearsal.action_id, "note": answer.note, "params": answer.params}
    facade.store.audit.append(answer.by, "ask for dry run", action_id, detail_kept)
    started, note = tend(facade, rehearsal.action_id, "dry run")
    note = note or f"GET /api/autonomous/actions/{rehearsal.action_id} shows what it would do."
    return Answered(
        subject=action_id, done="dry run requested", action_ids=[rehearsal.action_id], flow_run_id=started, note=note
    )


def approve_goal(facade: Facade, goal_id: str, answer: Answer) -> Answered:
    """Approve every action of a goal that waits for it."""
    if facade.store.goals.get(goal_id) is None:
        raise queries.goals.unknown_goal(goal_id)
    now = facade.clock()
    waiting = [view for view in _awaiting(facade, goal_id, now) if not _is_own(view.action, answer)]
    if not waiting:
        raise ForeactError(
            "nothing_to_approve",
            f"No action of {goal_id} waits for approval.",
            f"GET /api/autonomous/goals/{goal_id} shows the status of its actions.",
            status=409,
        )
    for view in waiting:
        _record_answer(facade, view, answer, approved=True)
    ids = [view.action.action_id for view in waiting]
    started, note = tend(facade, f"answer-{stable_id('goal', *ids)}", "approval")
    return Answered(subject=goal_id, done="approved", action_ids=ids, flow_run_id=started, note=note)


def cancel_goal(facade: Facade, goal_id: str, answer: Answer) -> Answered:
    """Give a goal up; its actions that wait are rejected with it."""
    view = facade.store.goals.get(goal_id)
    if view is None:
        raise queries.goals.unknown_goal(goal_id)
    if view.state is GoalState.CANCELLED:
        return Answered(subject=goal_id, done="cancelled", note="It was already.")
    if view.state.is_terminal:
        raise ForeactError(
            "goal_closed", f"{goal_id} is {view.state} already.", "Only an open goal can be cancelled.", status=409
        )
    now, reason = facade.clock(), answer.note or f"cancelled by {answer.by}"
    moved = Transition(goal_id=goal_id, state=GoalState.CANCELLED, at=now, reason=reason, progress=view.progress)
    facade.store.goals.move([moved], BY_HAND)
    waiting = _awaiting(facade, goal_id, now)
    for action in waiting:
        _record_answer(facade, action, answer, approved=False)
    facade.store.audit.append(answer.by, "cancel goal", goal_id, {"reason": reason})
    ids = [v.action.action_id for v in waiting]
    return Answered(subject=goal_id, done="cancelled", action_ids=ids)


def undo_action(facade: Facade, action_id: str, answer: Answer) -> Answered:
    """Ask for an action to be undone; asking twice asks once."""
    view = existing(facade, action_id)
    earlier = facade.store.actions.undo_for(action_id)
    undo = earlier.action if earlier else undo_of(view, facade.clock(), is_reversible=keeps_state(view))
    if earlier is None:
        facade.store.actions.append([undo], BY_HAND)
        detail = {"undo": undo.action_id, "note": answer.note}
        facade.store.audit.append(answer.by, "undo action", action_id, detail)
    # A person's yes outranks the mode: an undo that is asked for happens even while the loop may not act by itself.
    facade.store.actions.approve(_approval(facade, undo, answer, approved=True))
    started, note = tend(facade, undo.action_id, "undo")
    note = "It was requested already." if earlier else note
    return Answered(
        subject=action_id, done="undo requested", action_ids=[undo.action_id], flow_run_id=started, note=note
    )


def existing(facade: Facade, action_id: str) -> ActionView:
    """Return an action; raises `action_unknown`."""
    view = facade.store.actions.get(action_id)
    if view is None:
        remedy = "GET /api/autonomous/actions lists the newest."
        raise ForeactError("action_unknown", f"There is no action {action_id}.", remedy, status=404)
    return view


def _awaiting(facade: Facade, goal_id: str, now: datetime) -> list[ActionView]:
    views = queries.goals.as_they_stand(facade, facade.store.actions.of_goal(goal_id))
    return [view for view in views if queries.goals.awaits_approval(view, now)]


def refuse_unanswerable(facade: Facade, view: ActionView) -> None:
    """Raise `already_answered` or `not_waiting` where an action waits for nobody's answer."""
    action_id, (view,) = view.action.action_id, queries.goals.as_they_stand(facade, [view])
    if view.approval is not None:
        params = f" with {view.approval.params}" if view.approval.params else ""
        detail = f"{action_id} was {_word(view.approval.approved)} by {view.approval.by} already{params}."
        raise ForeactError("already_answered", detail, "The first answer counts.", status=409)
    status = queries.goals.action_status(view, facade.clock())
    if not queries.goals.awaits_approval(view, facade.clock()):
        detail = f"{action_id} does not wait for approval: it is {status}."
        raise ForeactError("not_waiting", detail, "To reverse an action that ran, undo it.", status=409)


def _is_own(action: Action, answer: Answer) -> bool:
    return bool(action.proposed_by) and is_same(action.proposed_by, answer.by)


def _refuse_own(action: Action, answer: Answer) -> None:
    """Raise `own_proposal` where somebody would say yes to what he proposed himself."""
    if _is_own(action, answer):
        detail = f"{action.proposed_by} proposed {action.action_id} itself, so its own yes does not count."
        raise ForeactError("own_proposal", detail, "Somebody else must approve it.", status=403)


def _refuse_amount_out_of_range(facade: Facade, action: Action, answer: Answer) -> None:
    """Hold a person's amount to what the configuration allows, as the planner's are."""
    amounts, amount = configured_actions(facade.in_force)[action.name].amounts, (answer.params or {}).get("amount")
    if not amounts or amount is None or (isinstance(amount, int | float) and amount in amounts):
        return
    first, last, step = amounts[0], amounts[-1], (amounts[-1] - amounts[0]) / max(1, len(amounts) - 1)
    raise ForeactError(
        "amount_not_allowed",
        f"{action.name} sets an amount from {first:g} to {last:g} in steps of {step:g}; {amount!r} is not one of them.",
        f"Choose an allowed amount, or change `actions.{action.name}.amounts` in foreact.toml.",
        status=422,
    )


def _unplanned(action: Action, answer: Answer) -> str:
    """Say which parameters were not planned: that may be meant, or a typing error that the handler would ignore."""
    unplanned = sorted(set(answer.params or {}) - set(action.params))
    return f"Not among the planned parameters: {', '.join(unplanned)}." if unplanned else ""


def _record_answer(facade: Facade, view: ActionView, answer: Answer, approved: bool) -> None:
    if not facade.store.actions.approve(_approval(facade, view.action, answer, approved)):
        detail = f"{view.action.action_id} was just answered by someone else."
        raise ForeactError("already_answered", detail, "The first answer counts.", status=409)
    detail_kept = {"note": answer.note, "params": answer.params, "action": view.action.name}
    verb = "approve action" if approved else "reject action"
    facade.store.audit.append(answer.by, verb, view.action.action_id, detail_kept)
    waits = facade.store.facts.get(WAITS) or {}
    if waits.pop(view.action.action_id, None) is not None:
        # Whom it waited for has answered; what else holds it up is found at the next look.
        facade.store.facts.set(WAITS, waits, answer.by)


def _approval(facade: Facade, action: Action, answer: Answer, approved: bool) -> Approval:
    now, lasts = facade.clock(), timedelta(seconds=facade.in_force.executor.approval_expires_seconds)
    return Approval(
        action_id=action.action_id,
        approved=approved,
        by=answer.by,
        at=now,
        expires_at=min(now + lasts, action.expires_at),
        params=answer.params,
        note=answer.note,
    )


def tend(facade: Facade, key: str, reason: str) -> tuple[str | None, str]:
    """Start `tend` at once; where that fails the row still stands and the watcher starts it later."""
    try:
        return facade.trigger.run("tend", {"reason": reason}, f"tend-{key}").flow_run_id, ""
    except ForeactError as trouble:
        logger.warning("recorded, but tend could not be started now: %s", trouble)
        return None, f"Recorded; it runs as soon as Prefect answers. ({trouble.message})"


def _word(approved: bool) -> str:
    return "approved" if approved else "rejected"
