"""The execute stage: what is due and allowed is done, each action a task run of its own.

The order of durable steps is the safety of it: the state before, the intent, the act, the receipt. A crash between
two of them leaves an intent without a receipt, which the next turn resolves by looking, never by acting again. What
the act will be judged by is written down before it as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE

from handlers.contract.results import explain
from handlers.worlds import UNDO_BY_CHECK, act_in, capture_in, check_in
from storage import ForeactError, TransientError
from storage.actions import ActionView
from storage.facts import SEQUENCE_ENDS, WAITS, SequenceEnd, Wait, WaitCode
from storage.records import NOTHING, Action, GoalState, Intent, Receipt, ReceiptStatus
from tasks.authority import as_allowed_now, asks_no_more, why_asked
from tasks.context import Context
from tasks.execute.guards import GuardAnswer, Ruling, judge
from tasks.execute.saga import NextMove, Step, next_move, why_not_next
from tasks.execute.situation import HISTORY_DAYS, Silence, circumstances, silence_now
from tasks.interventions.declared_facts import DeclaredFacts, declared_facts
from tasks.interventions.in_force import facts_in_force
from tasks.interventions.undo import plan_undo
from tasks.sharing import permit_for
from tasks.stage import say, stage

logger = logging.getLogger(__name__)

NO_LONGER_ASKED = "It need not wait for an answer any more: what is to be done is decided anew."

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
    receipts += _settled(context, silence, act, waits)
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
    ruling = _judged(context, view, silence)
    if ruling.answer is GuardAnswer.GO:
        return carry_out(context, view)
    if ruling.answer is GuardAnswer.DROP:
        return _finish(context, view.action, _skipped(context, view, ruling.reason))
    if asks_no_more(context.settings, context.actions, context.store, view):
        return _finish(context, view.action, _skipped(context, view, NO_LONGER_ASKED))
    why = why_asked(context.actions, context.store, view.action) if ruling.code is WaitCode.APPROVAL else ""
    waits[view.action.action_id] = Wait(f"{ruling.reason} {why}".strip(), ruling.code)
    return None


def _judged(context: Context, view: ActionView, silence: Silence) -> Ruling:
    """Return what the guards say of an action; of a step of a sequence, what they say of that as well."""
    now = circumstances(context, silence)
    if context.actions[view.action.name].requires:
        now = replace(now, facts_held=facts_in_force(context, _now(context)))
    if not view.action.sequence_id:
        return judge(view, now)
    steps = _steps_of(context, view.action.sequence_id)
    if view.action.position:
        held = why_not_next(steps, view.action.position, _now(context))
        if held is not None:
            is_for_good, reason = held
            return Ruling(GuardAnswer.DROP if is_for_good else GuardAnswer.WAIT, reason, WaitCode.EARLIER_STEP)
        return judge(_with_consent(view, steps[0].view), now)
    ruling = judge(view, now)
    if ruling.answer is not GuardAnswer.GO:
        return ruling
    # It begins only where nothing but their turn keeps the later steps from being done.
    for step in steps[1:]:
        later = judge(_with_consent(step.view, view), replace(now, facts_held=None))
        if later.answer is not GuardAnswer.GO:
            return replace(later, reason=f"{step.name}, which follows it: {later.reason}")
    return ruling


def _with_consent(view: ActionView, first: ActionView) -> ActionView:
    """Return a later step with the answer that a person gave to the first of its sequence: it was to all."""
    if view.approval is not None or first.approval is None:
        return view
    answer = first.approval.model_copy(update={"action_id": view.action.action_id, "params": None})
    return replace(view, approval=answer)


def _now(context: Context) -> datetime:
    """Return the time for what follows an act of this very turn."""
    return max(context.tick, context.store.clock())


def _steps_of(context: Context, sequence_id: str) -> list[Step]:
    """Return the steps of a sequence as they stand; one that was done is checked, until the sequence has ended."""
    views = [as_allowed_now(context.actions, context.store, v) for v in context.store.actions.of_sequence(sequence_id)]
    undos = context.store.actions.undos_of([view.action.action_id for view in views])
    is_over = context.store.facts.get(SEQUENCE_ENDS.of(sequence_id)) is not None
    facts = declared_facts(context.actions)
    return [
        Step(
            view,
            tuple(undos.get(view.action.action_id, ())),
            context.actions[view.action.name].reversible,
            not is_over and view.action.action_id not in undos and _is_missing(context, view),
            facts.get(view.action.name, DeclaredFacts()),
        )
        for view in views
    ]


def _is_missing(context: Context, view: ActionView) -> bool:
    """Tell whether a check finds that an act which said it succeeded did not take effect."""
    if view.receipt is None or view.receipt.status is not ReceiptStatus.SUCCEEDED or view.intent is None:
        return False
    found = check_in(context.world, as_decided(context, view), view.intent, context.tick)
    return found is ReceiptStatus.SKIPPED


def _settled(context: Context, silence: Silence, carry_out: Act, waits: dict[str, Wait]) -> list[Receipt | None]:
    """Undo what is left of sequences that failed, the last step first, and write down how each ended.

    One that cannot be dealt with leaves the others alone; the next turn looks again.
    """
    receipts: list[Receipt | None] = []
    ended = context.store.facts.matching(SEQUENCE_ENDS)
    for sequence_id in context.store.actions.sequences(context.tick - timedelta(days=HISTORY_DAYS)):
        # One that was done goes back as a whole once a step of it is taken back.
        if sequence_id in ended and ended[sequence_id].how != "done":
            continue
        try:
            receipts += _settled_one(context, sequence_id, silence, carry_out, waits)
        except TransientError:
            raise
        except Exception:
            logger.exception("%s could not be handled", sequence_id)
    return receipts


def _settled_one(
    context: Context, sequence_id: str, silence: Silence, carry_out: Act, waits: dict[str, Wait]
) -> list[Receipt | None]:
    receipts: list[Receipt | None] = []
    while (move := _next_move(context, sequence_id)).kind in {"undo", "give up"}:
        assert move.step is not None
        view = move.step.view
        if move.kind == "give up":
            receipts.append(_finish(context, view.action, _skipped(context, view, move.reason)))
            continue
        undo = plan_undo(context, view, move.reason, tries_before=len(move.step.undos))
        planned = context.store.actions.get(undo.action_id)
        receipts.append(_tried(context, planned, silence, carry_out, waits) if planned else None)
    if move.end is not None:
        _end(context, sequence_id, move.end)
    return receipts


def _next_move(context: Context, sequence_id: str) -> NextMove:
    steps = _steps_of(context, sequence_id)
    goal = context.store.goals.get(steps[0].view.action.goal_id)
    is_met = goal is not None and goal.state is GoalState.ACHIEVED
    return next_move(steps, _now(context), is_met=is_met)


def _end(context: Context, sequence_id: str, end: SequenceEnd) -> None:
    """Write down how a sequence ended, unless that is what was written down already."""
    kept = context.store.facts.get(SEQUENCE_ENDS.of(sequence_id))
    if kept is not None and kept.how == end.how:
        return
    detail = {"sequence": end.name, "goal": end.goal_id, "how": end.how, "reason": end.reason}
    context.store.audit.append("loop", "sequence ended", sequence_id, detail)
    context.store.facts.set(SEQUENCE_ENDS.of(sequence_id), end)


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


def _skipped(context: Context, view: ActionView, reason: str) -> Receipt:
    return _receipt(context, view, ReceiptStatus.SKIPPED, reason)


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
