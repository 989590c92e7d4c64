"""The execute stage: what is due and allowed is done, each action a task run of its own.

The order of durable steps is the safety of it: the state before, the intent, the act, the receipt. A crash between
two of them leaves an intent without a receipt, which the next turn resolves by looking, never by acting again. What
the act will be judged by is written down before it as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE

from handlers.contract.results import explain
from handlers.worlds import UNDO_BY_CHECK, act_in, capture_in, check_in
from storage import ForeactError, TransientError
from storage.actions import ActionView
from storage.facts import WAITS, Wait, WaitCode
from storage.records import NOTHING, Action, Intent, Receipt, ReceiptStatus
from tasks.authority import as_allowed_now, why_asked
from tasks.context import Context
from tasks.execute.guards import GuardAnswer, judge
from tasks.execute.situation import Silence, circumstances, silence_now
from tasks.sharing import permit_for
from tasks.stage import say, stage

logger = logging.getLogger(__name__)

Receipts = tuple[Receipt, ...]
Act = Callable[[Context, ActionView], Receipt | None]
Preregister = Callable[[Context, Action], object]

ACT_TIMEOUT_S = 900.0
NOT_UNDONE = {ReceiptStatus.FAILED, ReceiptStatus.TIMED_OUT, ReceiptStatus.UNKNOWN}
UNDO_REMEDY = "Its change may still be in place: check by hand. The action needs approval to run again."
ENDING_S = 10.0
"""How long after its time limit an act has certainly been ended, and its receipt written if anybody is left to."""


def _summary(receipts: Receipts) -> Mapping[str, Any]:
    statuses = [str(receipt.status) for receipt in receipts]
    return {status: statuses.count(status) for status in sorted(set(statuses))}


@stage("execute", _summary, timeout_s=3_600)
def execute(context: Context, act: Act) -> Receipts:
    """Resolve what a crash left open, then carry out what is due and allowed, most important first.

    `act` carries out one action; live it is a Prefect task, so that each action has a run of its own.
    """
    due = context.store.actions.due(context.tick)
    begun = [view for view in due if view.intent is not None]
    waiting = [as_allowed_now(context.actions, context.store, view) for view in due if view.intent is None]
    receipts = [resolve(context, view) for view in begun if _is_interrupted(context, view)]
    silence = silence_now(context) if waiting else Silence()
    waits: dict[str, Wait] = {}
    receipts += [_tried(context, view, silence, act, waits) for view in waiting]
    if waiting and waits != (context.store.facts.get(WAITS) or {}):
        context.store.facts.set(WAITS, waits)
    return tuple(receipt for receipt in receipts if receipt is not None)


def _tried(
    context: Context, view: ActionView, silence: Silence, carry_out: Act, waits: dict[str, Wait]
) -> Receipt | None:
    """Deal with one action so that whatever is amiss with it leaves the others alone.

    What was begun is resolved by a later turn, by looking; what was not is given up with the reason.
    """
    try:
        return _ruled(context, view, silence, carry_out, waits)
    except TransientError:
        raise
    except Exception as trouble:
        logger.exception("%s could not be handled", view.action.action_id)
        view_now = context.store.actions.get(view.action.action_id)
        if view_now is None or view_now.intent is not None:
            return None
        reason = str(trouble) if isinstance(trouble, ForeactError) else explain(trouble, "Handling it")
        return _finish(context, view.action, _receipt(context, view, ReceiptStatus.SKIPPED, reason))


def _ruled(
    context: Context, view: ActionView, silence: Silence, carry_out: Act, waits: dict[str, Wait]
) -> Receipt | None:
    """Carry out an action, or give it up, as the guards say; None where it waits, and `waits` then says for what."""
    ruling = judge(view, circumstances(context, silence))
    if ruling.answer is GuardAnswer.GO:
        return carry_out(context, view)
    if ruling.answer is GuardAnswer.DROP:
        return _finish(context, view.action, _receipt(context, view, ReceiptStatus.SKIPPED, ruling.reason))
    why = why_asked(context.actions, context.store, view.action) if ruling.code is WaitCode.APPROVAL else ""
    waits[view.action.action_id] = Wait(f"{ruling.reason} {why}".strip(), ruling.code)
    return None


def act_once(context: Context, view: ActionView, preregister: Preregister) -> Receipt | None:
    """Carry out one action: state before, intent, act, receipt. None where another run was faster.

    `preregister` writes down what the act will be judged by; it comes before the intent.
    """
    action = as_decided(context, view)
    action = action.model_copy(update={"dry_run": action.dry_run or _is_dry(context, action)})
    try:
        before = _before(context, action)
    except LookupError as trouble:
        return _finish(context, action, _receipt(context, view, ReceiptStatus.SKIPPED, str(trouble)))
    preregister(context, action)
    begun_at = context.store.clock()
    intent = Intent(action_id=action.action_id, at=begun_at, flow_run_id=context.cycle.flow_run_id, before=before)
    if not context.store.actions.claim(intent):
        return None
    permit = permit_for(context, action, before)
    if permit.refusal:
        return _finish(context, action, _receipt(context, view, ReceiptStatus.SKIPPED, permit.refusal))
    return _finish(context, action, permit.on(_act(context, action, before)))


act_task: Task[[Context, ActionView, Preregister], Receipt | None] = Task(
    fn=act_once,
    name="act",
    task_run_name="{view.action.title}",
    retries=0,
    timeout_seconds=ACT_TIMEOUT_S,
    cache_policy=NO_CACHE,
    persist_result=False,
)
"""One action as a Prefect task run; never retried, because an act may have happened although it failed."""


def resolve(context: Context, view: ActionView) -> Receipt | None:
    """Give an interrupted action its receipt by looking at what is there.

    A check tells whether the effect of the act is in place: for an undo that is the wrong way round.
    """
    assert view.intent is not None
    check_answer = check_in(context.world, as_decided(context, view), view.intent, context.tick)
    status = UNDO_BY_CHECK.get(check_answer, check_answer) if view.action.undo_of else check_answer
    detail = f"It was interrupted; a check found: {status}."
    return _finish(context, view.action, _receipt(context, view, status, detail))


def _is_interrupted(context: Context, view: ActionView) -> bool:
    """Tell whether an act that was begun cannot be under way any more: a cycle and a tend may run side by side.

    An intent of the future means that the clock was set back; then nothing is gained by waiting.
    """
    assert view.intent is not None
    begun_s = (context.store.clock() - view.intent.at).total_seconds()
    return not 0 <= begun_s <= context.actions[view.action.name].timeout_s + ENDING_S


def as_decided(context: Context, view: ActionView) -> Action:
    """Return an action with the parameters that a person changed; an undo goes by those of its act."""
    decided = context.store.actions.get(view.action.undo_of) if view.action.undo_of else view
    changed = decided.approval.params if decided and decided.approval else None
    return view.action.model_copy(update={"params": {**view.action.params, **changed}}) if changed else view.action


def _is_dry(context: Context, action: Action) -> bool:
    return context.settings.executor.dry_run or context.actions[action.name].dry_run


def _before(context: Context, action: Action) -> dict[str, Any]:
    """Return the state that an undo restores: read now, or for an undo what the act itself had kept."""
    if action.undo_of:
        view = context.store.actions.get(action.undo_of)
        if view is None or view.intent is None:
            raise LookupError(f"{action.undo_of} never ran; there is nothing to undo.")
        kept = view.receipt.undo if view.receipt else None
        return {**view.intent.before, **(kept or {})}
    return {} if action.name == NOTHING else capture_in(context.world, action, context.tick)


def _act(context: Context, action: Action, before: Mapping[str, Any]) -> Receipt:
    if action.name == NOTHING:
        return _on_purpose(context, action)
    return act_in(context.world, action, before, context.tick)


def _on_purpose(context: Context, action: Action) -> Receipt:
    """Say that nothing was done, so that what happens anyway can be measured."""
    return Receipt(
        action_id=action.action_id,
        status=ReceiptStatus.SUCCEEDED,
        started_at=context.tick,
        finished_at=context.tick,
        detail="Nothing was done, on purpose: the baseline that actions are compared with.",
    )


def _receipt(context: Context, view: ActionView, status: ReceiptStatus, detail: str) -> Receipt:
    now = context.store.clock()
    started_at = view.intent.at if view.intent else now
    return Receipt(
        action_id=view.action.action_id, status=status, started_at=started_at, finished_at=now, detail=detail
    )


def _finish(context: Context, action: Action, receipt: Receipt) -> Receipt | None:
    """Write a receipt, and before it its audit line: a crash in between leaves a line too many, never one too few."""
    is_stuck = action.undo_of is not None and receipt.status in NOT_UNDONE
    verb = "undo failed" if is_stuck else "undone" if action.undo_of else "acted"
    detail = {
        "action": action.name,
        "target": action.target,
        "status": receipt.status,
        "detail": receipt.detail,
        "goal": action.goal_id,
        "undo_of": action.undo_of,
    } | ({"remedy": UNDO_REMEDY} if is_stuck else {})
    context.store.audit.append("loop", verb, action.action_id, detail)
    say(f"{action.title}: {receipt.detail or receipt.status}")
    return receipt if context.store.actions.finish(receipt) else None
