"""The execute stage: what is due and allowed is done, each action a task run of its own.

The order of durable steps is the safety of it: the state before, the intent, the act, the receipt. A crash between
two of them leaves an intent without a receipt, which the next turn resolves by looking, never by acting again. What
the act will be judged by is written down before it as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE

from handlers.results import explain
from handlers.worlds import act_in, capture_in, check_in
from storage import ForeactError, TransientError
from storage.actions import ActionView
from storage.records import NOTHING, Action, Intent, Receipt, ReceiptStatus, metric_of
from tasks.context import Context, is_autonomous
from tasks.execute import WAITS_FACT, ActionLimits, Answer, Circumstances, is_open, judge
from tasks.measure.fix import fix_before_act
from tasks.stage import stage

logger = logging.getLogger(__name__)

Receipts = tuple[Receipt, ...]
Act = Callable[[Context, ActionView], Receipt | None]

HISTORY_DAYS = 8
SILENT_AFTER_S = 600.0
SILENT_AFTER_GAPS = 5
ACT_TIMEOUT_S = 900.0
NOT_UNDONE = {ReceiptStatus.FAILED, ReceiptStatus.TIMED_OUT, ReceiptStatus.UNKNOWN}
UNDO_REMEDY = (
    "What the act changed may still be in place: look at it by hand. It is not done again before you approve it."
)
_UNDO_BY_CHECK = {ReceiptStatus.SUCCEEDED: ReceiptStatus.FAILED, ReceiptStatus.SKIPPED: ReceiptStatus.SUCCEEDED}
ENDING_S = 10.0
"""How long after its time limit an act has certainly been ended, and its receipt written if anybody is left to."""


def _summary(receipts: Receipts) -> Mapping[str, Any]:
    statuses = [str(receipt.status) for receipt in receipts]
    return {status: statuses.count(status) for status in sorted(set(statuses))}


@stage("execute", _summary, timeout_s=3_600)
def execute(context: Context, act: Act | None = None) -> Receipts:
    """Resolve what a crash left open, then carry out what is due and allowed, most important first.

    `act` carries out one action; live it is a Prefect task, so that each action has a run of its own.
    """
    due = context.store.actions.due(context.tick)
    begun = [view for view in due if view.intent is not None]
    waiting = [view for view in due if view.intent is None]
    receipts = [resolve(context, view) for view in begun if _is_interrupted(context, view)]
    silent = silent_series(context) if waiting else frozenset()
    waits: dict[str, str] = {}
    receipts += [_tried(context, view, silent, act or act_once, waits) for view in waiting]
    if waiting and waits != context.store.facts.get(WAITS_FACT, {}):
        context.store.facts.set(WAITS_FACT, waits)
    return tuple(receipt for receipt in receipts if receipt is not None)


def _tried(
    context: Context, view: ActionView, silent: frozenset[str], carry_out: Act, waits: dict[str, str]
) -> Receipt | None:
    """Deal with one action so that whatever is amiss with it leaves the others alone.

    What was begun is resolved by a later turn, by looking; what was not is given up with the reason.
    """
    try:
        return _ruled(context, view, silent, carry_out, waits)
    except TransientError:
        raise
    except Exception as trouble:
        logger.exception("%s could not be dealt with", view.action.action_id)
        known = context.store.actions.get(view.action.action_id)
        if known is None or known.intent is not None:
            return None
        reason = str(trouble) if isinstance(trouble, ForeactError) else explain(trouble, "Dealing with it")
        return _finish(context, view.action, _receipt(context, view, ReceiptStatus.SKIPPED, reason))


def _ruled(
    context: Context, view: ActionView, silent: frozenset[str], carry_out: Act, waits: dict[str, str]
) -> Receipt | None:
    """Carry out an action, or give it up, as the guards say; None where it waits, and `waits` then says for what."""
    ruling = judge(view, circumstances(context, silent))
    if ruling.answer is Answer.GO:
        return carry_out(context, view)
    if ruling.answer is Answer.DROP:
        return _finish(context, view.action, _receipt(context, view, ReceiptStatus.SKIPPED, ruling.reason))
    waits[view.action.action_id] = ruling.reason
    return None


def silent_series(context: Context) -> frozenset[str]:
    """Return the series that were quiet for five of their usual gaps, and for ten minutes at least."""
    samples, tick = context.store.samples, context.tick
    heard = {
        info.series
        for info in samples.spans(tick - timedelta(days=HISTORY_DAYS), tick)
        if info.last and (tick - info.last).total_seconds() <= max(SILENT_AFTER_S, SILENT_AFTER_GAPS * info.interval_s)
    }
    return frozenset(info.series for info in samples.known()) - heard


def circumstances(context: Context, silent: frozenset[str]) -> Circumstances:
    """Return all that the guards look at, as it is now."""
    options, store = context.settings.executor, context.store
    heard = {metric_of(info.series) for info in store.samples.known() if info.series not in silent}
    return Circumstances(
        tick=context.tick,
        autonomous=is_autonomous(context.settings, store),
        kill_switch=context.settings.kill_switch_path.exists(),
        in_maintenance=is_open(options.maintenance, context.tick),
        finished=store.actions.finished(context.tick - timedelta(days=HISTORY_DAYS)),
        open_goals=frozenset(view.goal.goal_id for view in store.goals.open()),
        silent_series=silent,
        silent_metrics=frozenset(map(metric_of, silent)) - heard,
        limits={name: _limits(context, name) for name in {*context.actions, *context.settings.actions}},
        rate_limits=options.rate_limits,
        blast_radius=options.blast_radius,
        blast_radius_labels=options.blast_radius_labels,
        max_concurrent_goals=options.max_concurrent_goals,
        slot_s=options.execution_interval_seconds,
        breaker_failures=options.breaker_failures,
        breaker_s=options.breaker_seconds,
    )


def _limits(context: Context, name: str) -> ActionLimits:
    configured, handler = context.settings.action(name), context.actions.get(name)
    cooldown_s = configured.cooldown_seconds
    rate_limits = configured.rate_limits
    return ActionLimits(
        enabled=configured.enabled,
        cooldown_s=cooldown_s if cooldown_s is not None else (handler.cooldown_s if handler else 0.0),
        rate_limits=rate_limits if rate_limits is not None else (handler.rate_limits if handler else ()),
    )


def act_once(context: Context, view: ActionView) -> Receipt | None:
    """Carry out one action: state before, intent, act, receipt. None where another run was faster."""
    action = as_decided(context, view)
    action = action.model_copy(update={"dry_run": action.dry_run or _is_dry(context, action)})
    try:
        before = _before(context, action)
    except LookupError as trouble:
        return _finish(context, action, _receipt(context, view, ReceiptStatus.SKIPPED, str(trouble)))
    fix_before_act(context, action)
    begun_at = context.store.clock()
    intent = Intent(action_id=action.action_id, at=begun_at, flow_run_id=context.cycle.flow_run_id, before=before)
    if not context.store.actions.claim(intent):
        return None
    return _finish(context, action, _act(context, action, before))


act_task: Task[[Context, ActionView], Receipt | None] = Task(
    fn=act_once,
    name="act",
    task_run_name="{view.action.name} {view.action.target}",
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
    found = check_in(context.world, as_decided(context, view), view.intent, context.tick)
    status = _UNDO_BY_CHECK.get(found, found) if view.action.undo_of else found
    detail = f"It was interrupted; a check found: {status}."
    return _finish(context, view.action, _receipt(context, view, status, detail))


def _is_interrupted(context: Context, view: ActionView) -> bool:
    """Tell whether an act that was begun cannot be under way any more: a cycle and a tend may run side by side.

    An intent of the future means that the clock was set back; then nothing is gained by waiting.
    """
    assert view.intent is not None
    handler, configured_s = context.actions.get(view.action.name), context.settings.action(view.action.name)
    limit_s = configured_s.timeout_seconds or (handler.timeout_s if handler else 0.0)
    begun_s = (context.store.clock() - view.intent.at).total_seconds()
    return not 0 <= begun_s <= limit_s + ENDING_S


def as_decided(context: Context, view: ActionView) -> Action:
    """Return an action with the parameters that a person changed; an undo goes by those of its act."""
    decided = context.store.actions.get(view.action.undo_of) if view.action.undo_of else view
    changed = decided.approval.params if decided and decided.approval else None
    return view.action.model_copy(update={"params": {**view.action.params, **changed}}) if changed else view.action


def _is_dry(context: Context, action: Action) -> bool:
    return context.settings.executor.dry_run or context.settings.action(action.name).dry_run


def _before(context: Context, action: Action) -> dict[str, Any]:
    """Return the state that an undo restores: read now, or for an undo what the act itself had kept."""
    if action.undo_of:
        view = context.store.actions.get(action.undo_of)
        if view is None or view.intent is None:
            raise LookupError(f"{action.undo_of} was never carried out; there is nothing to undo.")
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
        detail="Nothing was done, on purpose: this is what actions are held against.",
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
    return receipt if context.store.actions.finish(receipt) else None
