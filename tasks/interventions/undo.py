"""How an act is taken back: whether that can be done, and the action that does it, whoever asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from storage.actions import ActionView
from storage.errors import ForeactError
from storage.records import Action, Autonomy, ReceiptStatus, Strategy, stable_id
from tasks.context import Context

EXPIRES_AFTER = timedelta(days=1)
MOST_TRIES = 3
FIRST_PAUSE = timedelta(minutes=5)


def undo_of(view: ActionView, at: datetime, *, is_reversible: bool, tries_before: int = 0) -> Action:
    """Return the action that takes an act back: due at once and before all else, with the same id each time.

    `tries_before` is how often the world refused it: a further try is another action. Raises `is_undo`,
    `nothing_to_undo` or `irreversible` where the act cannot be taken back.
    """
    if (refusal := refusal_to_undo(view, is_reversible=is_reversible)) is not None:
        raise refusal
    changes = {
        "action_id": stable_id("action", "undo", view.action.action_id, *([str(tries_before)] if tries_before else [])),
        "undo_of": view.action.action_id,
        "level": Autonomy.AUTO,
        "strategy": Strategy.IMMEDIATE,
        "created_at": at,
        "due_at": at,
        "expires_at": at + EXPIRES_AFTER,
        "priority": 1.0,
        "dry_run": False,
        "sequence_id": "",
        "position": 0,
        "steps": (),
    }
    return view.action.model_copy(update=changes)


def refusal_to_undo(view: ActionView, *, is_reversible: bool) -> ForeactError | None:
    """Return why an act cannot be taken back, None where it can; one that may have been done counts as done."""
    action_id, receipt = view.action.action_id, view.receipt
    if view.action.undo_of is not None:
        return ForeactError(
            "is_undo", f"{action_id} is itself an undo.", "Let foreact plan the action again instead.", status=409
        )
    may_be_done = (ReceiptStatus.SUCCEEDED, ReceiptStatus.UNKNOWN, ReceiptStatus.TIMED_OUT)
    if receipt is None or receipt.status not in may_be_done:
        state = "has not run yet" if receipt is None else f"ended as {receipt.status}"
        return ForeactError(
            "nothing_to_undo", f"{action_id} {state}.", "Only an action that succeeded can be undone.", status=409
        )
    if not is_reversible:
        detail = f"{view.action.name} cannot be undone."
        return ForeactError("irreversible", detail, "Its receipt says what it did; reverse that by hand.", status=409)
    return None


def may_try_again(undos: Sequence[ActionView], at: datetime) -> bool:
    """Tell whether an act may be undone now, given its undos so far, oldest first: three times, ever more rarely."""
    if not undos:
        return True
    receipt = undos[-1].receipt
    if receipt is None or receipt.status not in (ReceiptStatus.FAILED, ReceiptStatus.TIMED_OUT):
        return False
    return len(undos) < MOST_TRIES and at >= receipt.finished_at + FIRST_PAUSE * 2 ** (len(undos) - 1)


def may_undo_unasked(view: ActionView, *, is_reversible: bool) -> bool:
    """Tell whether the loop may take an act back by itself: only what it knows was done."""
    is_done = view.receipt is not None and view.receipt.status is ReceiptStatus.SUCCEEDED
    return is_done and refusal_to_undo(view, is_reversible=is_reversible) is None


def plan_undo(context: Context, view: ActionView, reason: str, *, tries_before: int = 0) -> Action:
    """Record that an act is to be undone now; undoing is done, guarded and recorded like any action."""
    action = view.action
    is_reversible = context.actions[action.name].reversible
    undo = undo_of(view, context.tick, is_reversible=is_reversible, tries_before=tries_before)
    context.store.actions.append([undo], context.cycle_id)
    detail = {"action": action.name, "target": action.target, "goal": action.goal_id, "reason": reason}
    context.store.audit.append("loop", "undo planned", action.action_id, detail)
    return undo


def keeps_state(view: ActionView) -> bool:
    """Tell whether the state before an act, or what is needed to go back to it, was kept."""
    return (view.receipt is not None and view.receipt.undo is not None) or bool(view.intent and view.intent.before)
