"""Whether an action that is due may be carried out now: every guard, in one place, without touching anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from handlers import ActionsByName
from handlers.contract.action import AMOUNT, ActionTraits
from storage.actions import ActionView
from storage.facts import Wait, WaitCode
from storage.records import NOTHING, Action, Autonomy, ReceiptStatus
from tasks.execute.limits import exceeded, is_within
from tasks.execute.targets import labels_of, spread_too_far
from tasks.interventions.declared_facts import declared_facts, unmet

_TROUBLE = {ReceiptStatus.FAILED, ReceiptStatus.TIMED_OUT, ReceiptStatus.UNKNOWN}
_BLAST_SPAN = timedelta(hours=1)


class GuardAnswer(StrEnum):
    """What the guards say: act now, wait and ask again, or never."""

    GO = "go"
    WAIT = "wait"
    DROP = "drop"


@dataclass(frozen=True)
class Ruling:
    """The guards' answer and, unless it is to go, the reason; `code` tells what an action waits for."""

    answer: GuardAnswer
    reason: str = ""
    code: WaitCode | None = None


@dataclass(frozen=True)
class Circumstances:
    """All that the guards look at.

    `finished` are the receipts of at least the last day, oldest first; `silent_series` the series that were heard
    once and are not any more, `silent_metrics` the metrics of which no series is heard. `configured_limits` names those
    of `rate_limits` and `blast_radius` that a person set: only these hold for amounts as well. `facts_held` are the
    facts that hold now; None where nobody needs to look. `doubted_until` says by `GOAL_TYPE:action` until when at most
    a pair that seems to harm awaits that its last acts can be judged.
    """

    tick: datetime
    autonomous: bool = True
    kill_switch: bool = False
    maintenance_until: datetime | None = None
    finished: Sequence[ActionView] = ()
    open_goals: frozenset[str] = frozenset()
    silent_series: frozenset[str] = frozenset()
    silent_metrics: frozenset[str] = frozenset()
    actions: ActionsByName = field(default_factory=ActionsByName)
    rate_limits: tuple[str, ...] = ()
    configured_limits: frozenset[str] = frozenset()
    blast_radius: int = 1_000
    blast_radius_labels: Mapping[str, int] = field(default_factory=dict)
    max_concurrent_goals: int = 1_000
    slot_s: float = 60.0
    breaker_failures: int = 3
    breaker_s: float = 1_800.0
    facts_held: frozenset[str] | None = None
    doubted_until: Mapping[str, datetime] = field(default_factory=dict)


def judge(view: ActionView, now: Circumstances) -> Ruling:
    """Return whether a due action may be carried out now; the first guard that objects gives the reason."""
    for check in _guards_for(view.action):
        ruling = check(view, now)
        if ruling is not None:
            return ruling
    return Ruling(GuardAnswer.GO)


def effective_level(action: Action, autonomous: bool) -> Autonomy:
    """Return the action's level, capped at recommend while the loop is not to act by itself."""
    if autonomous or action.level.rank <= Autonomy.RECOMMEND.rank:
        return action.level
    return Autonomy.RECOMMEND


def _lifetime(view: ActionView, now: Circumstances) -> Ruling | None:
    expires_at = view.action.expires_at
    if now.tick > expires_at:
        return Ruling(GuardAnswer.DROP, f"It expired at {expires_at:%Y-%m-%d %H:%M} UTC before it could run.")
    return None


def _purpose(view: ActionView, now: Circumstances) -> Ruling | None:
    if view.action.goal_id not in now.open_goals:
        return Ruling(GuardAnswer.DROP, "Its goal is no longer open.")
    return None


def _kill_switch(view: ActionView, now: Circumstances) -> Ruling | None:
    return _waits(WaitCode.KILL_SWITCH, "The kill switch is on.") if now.kill_switch else None


def _enabled(view: ActionView, now: Circumstances) -> Ruling | None:
    if not now.actions[view.action.name].enabled:
        return Ruling(GuardAnswer.DROP, "This action is disabled in the configuration.")
    return None


def _consent(view: ActionView, now: Circumstances) -> Ruling | None:
    """A person's yes outranks the mode; a no, or one that came too late, ends the matter."""
    action, approval = view.action, view.approval
    if approval is not None:
        if not approval.approved:
            return Ruling(GuardAnswer.DROP, f"{approval.by} rejected it. {approval.note}".strip())
        if approval.at > action.expires_at:
            return Ruling(GuardAnswer.DROP, "The approval came after the action expired.")
        if now.tick > approval.expires_at:
            ended = f"{approval.expires_at:%Y-%m-%d %H:%M} UTC"
            return Ruling(GuardAnswer.DROP, f"The approval expired at {ended} before it could run.")
        return None
    held = held_by_level(view, now.autonomous or now.actions[action.name].informs_only)
    return Ruling(GuardAnswer.WAIT, held.reason, held.code) if held else None


def held_by_level(view: ActionView, autonomous: bool) -> Wait | None:
    """Return what an action that nobody answered waits for by its level and the mode; None where these let it go."""
    level = effective_level(view.action, autonomous)
    if view.approval is not None or level is Autonomy.AUTO:
        return None
    if level is Autonomy.APPROVE:
        return Wait("It waits for approval.", WaitCode.APPROVAL)
    if view.action.level.rank > Autonomy.RECOMMEND.rank:
        return Wait("Autonomous mode is off: this is a recommendation; approve it to run it.", WaitCode.MODE_OFF)
    return Wait("Its autonomy level allows only a recommendation.", WaitCode.RECOMMENDATION)


def _waits(code: WaitCode, reason: str) -> Ruling:
    return Ruling(GuardAnswer.WAIT, reason, code)


def _calm(view: ActionView, now: Circumstances) -> Ruling | None:
    if now.maintenance_until is not None:
        return _waits(
            WaitCode.MAINTENANCE, f"A maintenance window is open until {now.maintenance_until:%Y-%m-%d %H:%M} UTC."
        )
    if view.action.series in now.silent_series:
        return _waits(WaitCode.SILENCE, f"{view.action.series} has no recent data; nothing is changed blindly.")
    unseen = [guard for guard in view.action.guards if guard in now.silent_series | now.silent_metrics]
    if unseen:
        return _waits(WaitCode.SILENCE, f"The guard metric {unseen[0]} has no recent data; nothing is changed blindly.")
    return None


def _undone_well(view: ActionView, now: Circumstances) -> Ruling | None:
    """Hold an action that could not be taken back the last time, until an undo of it works or a person says yes."""
    undos = [each for each in now.finished if each.action.undo_of and each.action.name == view.action.name]
    last = undos[-1].receipt if undos else None
    if last is None or last.status not in _TROUBLE or view.approval is not None:
        return None
    when = f"{last.finished_at:%Y-%m-%d %H:%M} UTC"
    return _waits(WaitCode.UNDO_FAILED, f"Its undo failed at {when}; it needs approval to run again.")


def _doubt(view: ActionView, now: Circumstances) -> Ruling | None:
    """Hold an action whose last acts seem to harm until these can be judged; a sequence that began goes on."""
    action = view.action
    until = now.doubted_until.get(action.pair)
    if until is None or view.approval is not None or action.position:
        return None
    return _waits(
        WaitCode.DOUBT,
        f"Its last acts seem to harm: they are measured and over first, by {until:%Y-%m-%d %H:%M} UTC at the latest.",
    )


def _facts(view: ActionView, now: Circumstances) -> Ruling | None:
    """Hold what requires a fact that does not hold."""
    own = declared_facts({view.action.name: now.actions[view.action.name]}).get(view.action.name)
    missing = unmet(now.facts_held, own.requires) if own and now.facts_held is not None else ()
    return _waits(WaitCode.FACTS, f"It requires {' and '.join(missing)}, which is not so now.") if missing else None


def _room(view: ActionView, now: Circumstances) -> Ruling | None:
    """Hold what serves one goal more than may be acted for at once; what only reports takes no room."""
    slot = timedelta(seconds=now.slot_s)
    busy = {
        each.action.goal_id
        for each in now.finished
        if _counts(each) and each.action.series is not None and is_within(_when(each), now.tick, slot)
    }
    others = busy - {view.action.goal_id}
    if view.action.series is None or len(others) < now.max_concurrent_goals:
        return None
    return _waits(WaitCode.CONCURRENT_GOALS, f"{len(others)} other goals are being acted on, the most allowed at once.")


def _breaker(view: ActionView, now: Circumstances) -> Ruling | None:
    """Hold an action that failed several times in a row, until a while has passed since the last failure."""
    last = [each.receipt for each in now.finished if each.action.name == view.action.name and _counts(each)]
    tail = [receipt for receipt in last if receipt is not None][-now.breaker_failures :]
    if len(tail) < now.breaker_failures or any(receipt.status not in _TROUBLE for receipt in tail):
        return None
    pause = timedelta(seconds=now.breaker_s)
    if not is_within(tail[-1].finished_at, now.tick, pause):
        return None
    closes_at = tail[-1].finished_at + pause
    return _waits(
        WaitCode.FAILURES, f"It failed {len(tail)} times in a row; it may run again from {closes_at:%H:%M} UTC."
    )


def _limits(view: ActionView, now: Circumstances) -> Ruling | None:
    """Hold what was done often enough; an amount is one target, whose steps only limits that a person set count."""
    action = view.action
    limits = now.actions[action.name]
    acts = [each for each in now.finished if _counts(each)]
    counted = [each for each in acts if "rate_limits" in now.configured_limits or not _sets_amount(each.action, now)]
    is_amount = _sets_amount(action, now)
    same = [_when(each) for each in acts if each.action.name == action.name]
    on_target = [_when(each) for each in acts if each.action.target == action.target and action.target]
    again = [_when(each) for each in acts if (each.action.name, each.action.target) == (action.name, action.target)]
    cooldown = timedelta(seconds=limits.cooldown_s)
    if any(is_within(moment, now.tick, cooldown) for moment in again):
        return _waits(WaitCode.COOLDOWN, f"It is in its cooldown of {limits.cooldown_s:g} s after the last run.")
    is_limited = not is_amount or "rate_limits" in limits.configured or limits.rate_limits != ActionTraits.rate_limits
    if is_limited and (text := exceeded(limits.rate_limits, same, now.tick)) is not None:
        return _waits(WaitCode.ACTION_LIMIT, f"The limit of {text} for this action is used up.")
    is_limited = not is_amount or "rate_limits" in now.configured_limits
    if is_limited and (text := exceeded(now.rate_limits, map(_when, counted), now.tick)) is not None:
        return _waits(WaitCode.LIMIT_OF_ALL, f"The limit of {text} for all actions is used up.")
    is_limited = not is_amount or "blast_radius" in now.configured_limits
    if is_limited and exceeded([f"{now.blast_radius}/hour"], on_target, now.tick):
        return _waits(WaitCode.BLAST_RADIUS, f"{action.target} was acted on {now.blast_radius} times within an hour.")
    reached = [labels_of(each.action) for each in acts if is_within(_when(each), now.tick, _BLAST_SPAN)]
    if (reason := spread_too_far(labels_of(action), reached, now.blast_radius_labels)) is not None:
        return _waits(WaitCode.BLAST_RADIUS_LABELS, reason)
    return None


def _sets_amount(action: Action, now: Circumstances) -> bool:
    return now.actions[action.name].sets is not None and AMOUNT in action.params


def _counts(view: ActionView) -> bool:
    """Tell whether an act counts against limits: it touched something and was no undo."""
    return view.touched is not None and view.action.undo_of is None


def _when(view: ActionView) -> datetime:
    assert view.receipt is not None
    return view.receipt.finished_at


Guard = Callable[[ActionView, Circumstances], Ruling | None]


def _guards_for(action: Action) -> tuple[Guard, ...]:
    if action.name == NOTHING:
        return _FOR_NOTHING
    if action.undo_of:
        return _FOR_UNDOS
    return _FOR_REHEARSALS if action.dry_run else _FOR_ACTS


# Going back is never held up by a goal, a limit or the switch of its action: only by time and by people.
_FOR_UNDOS: tuple[Guard, ...] = (_kill_switch, _lifetime, _consent)
# What touches nothing is not held up by what limits touching.
_FOR_REHEARSALS: tuple[Guard, ...] = (*_FOR_UNDOS, _purpose, _enabled)
# Doing nothing needs nobody's leave; only where nothing is heard it would tell nothing.
_FOR_NOTHING: tuple[Guard, ...] = (_lifetime, _purpose, _calm)
_FOR_ACTS: tuple[Guard, ...] = (
    *_FOR_UNDOS,
    _purpose,
    _enabled,
    _calm,
    _facts,
    _undone_well,
    _doubt,
    _breaker,
    _limits,
    _room,
)
