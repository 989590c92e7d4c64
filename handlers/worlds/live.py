"""The real world: configured sources are pulled, registered handlers act, each in a process of its own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from handlers.contract.action import ActionContext, ActionHandler
from handlers.contract.source import SourceHandler
from handlers.sandbox.parent import CallResult, call
from handlers.worlds.world import UNDO_BY_CHECK, context_for
from storage.errors import ForeactError, TransientError
from storage.private import holds_secret, masked, secrets_in
from storage.records import FUTURE_S, Action, Candidate, Event, Goal, Intent, Receipt, ReceiptStatus, Sample
from storage.sample_window import micros, moment_at, series_id
from storage.samples import SampleColumns

OVERLAP_S = 600.0
"""What a source gave of the last minutes is asked for again: a point may come after later ones of its own series."""
PATIENCE_S = 60.0
"""After so long the parts of a source that were not asked yet wait for the next turn."""

BEFORE_1970 = "its time lies before 1970"


@dataclass
class LiveWorld:
    """This machine and whatever its sources and actions reach.

    `actions` are as configured: one that is switched off is not proposed, but what it did can be undone. `since` gives
    how far a part of a source was read, `unrecorded_columns` those of some samples that are not recorded yet, `now` the
    time at which an act really ends; `resolve` puts in place of what options only name what they mean. Trouble with one
    part, series or value is kept in `troubles` and leaves the others alone; `newest` says how far each part was read.
    """

    actions: Mapping[str, ActionHandler]
    now: Callable[[], datetime]
    sources: Mapping[str, tuple[SourceHandler, Mapping[str, Any]]] = field(default_factory=dict)
    since: Callable[[str], datetime | None] = lambda name: None
    unrecorded_columns: Callable[[SampleColumns], SampleColumns] = lambda columns: columns
    resolve: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    troubles: list[str] = field(default_factory=list)
    newest: dict[str, datetime] = field(default_factory=dict)
    _looked_at: dict[datetime, dict[str, Any]] = field(default_factory=dict)

    def observe(self, tick: datetime) -> Iterable[Sample | SampleColumns | Event]:
        """Pull every configured source since its last sample; the parts that answered last time come first."""
        self.troubles.clear()
        self.newest.clear()
        for source, options in self.sources.values():
            give_up_s = time.monotonic() + PATIENCE_S
            parts = [(part, given, self.since(part)) for part, given in source.parts(options).items()]
            parts.sort(key=lambda each: each[2].timestamp() if each[2] else -math.inf, reverse=True)
            for part, given, since in parts:
                if time.monotonic() > give_up_s:
                    self.troubles.append(f"source {part}: not asked in this turn, as others took {PATIENCE_S:.0f} s")
                    continue
                yield from self._pull(source, part, given, since, tick)

    def _pull(
        self, source: SourceHandler, part: str, options: Mapping[str, Any], since: datetime | None, tick: datetime
    ) -> Iterator[Sample | SampleColumns | Event]:
        """Take what one part of a source gives, in full up to where it fails, and note how far each series came."""
        again = timedelta(seconds=OVERLAP_S if source.late_s else 0)
        newest: dict[str, datetime] = {}
        unusable: dict[str, set[str]] = {}
        samples: list[Sample] = []
        columns: list[SampleColumns] = []
        given = options
        try:
            given = self.resolve(options)
            for seen in source.pull(given, since - again if since else None, tick):
                if isinstance(seen, SampleColumns):
                    columns.append(_usable(seen, tick, unusable))
                    newest |= _newest(columns[-1], newest)
                    continue
                name = seen.series if isinstance(seen, Sample) else seen.event_type
                if why := _why_unusable(seen, tick):
                    unusable.setdefault(why, set()).add(name)
                    continue
                newest[name] = max(seen.ts, newest.get(name, seen.ts))
                if isinstance(seen, Sample):
                    samples.append(seen)
                else:
                    yield seen
        except Exception as trouble:
            self.troubles.append(_told(f"source {part}", trouble, given))
        for why, names in unusable.items():
            self.troubles.append(masked(f"source {part}: skipped, because {why}: {_few(names)}", secrets_in(given)))
        if newest:
            # A series that lags is waited for, but not for ever: it may be gone.
            last, slowest = max(newest.values()), min(newest.values())
            self.newest[part] = max(slowest, last - timedelta(seconds=source.late_s))
        if source.late_s and since:
            new = self.unrecorded_columns(SampleColumns.joined([SampleColumns.of(samples), *columns]))
            yield from [new] if len(new) else []
        else:
            yield from samples
            yield from columns

    def propose(self, goal: Goal, tick: datetime) -> list[Candidate]:
        """Ask every enabled action what it could do for a goal; one that fails proposes nothing."""
        candidates: list[Candidate] = []
        for name, handler in self.actions.items():
            given = handler.option_values
            try:
                given = self.resolve(given)
                context = ActionContext(
                    tick=tick,
                    options=given,
                    goal_id=goal.goal_id,
                    series=goal.series,
                    memo=self._looked_at.setdefault(tick, {}),
                )
                offered = handler.propose(goal, context)
                shown = [each for each in offered if not holds_secret(each.params)]
                candidates += shown
                if len(shown) < len(offered):
                    self.troubles.append(f"action {name}: a proposal is left out, as it would show a secret")
            except Exception as trouble:
                self.troubles.append(_told(f"action {name} proposed nothing", trouble, given))
        return candidates

    def facts_now(self, tick: datetime) -> Mapping[str, bool]:
        """Ask every enabled action that reports facts which of them hold; one that says so is enough."""
        held: dict[str, bool] = {}
        for name, handler in self.actions.items():
            if handler.enabled and handler.hooks.holds is not None:
                try:
                    context = ActionContext(tick=tick, options=self.resolve(handler.option_values))
                    found = handler.facts_now(context)
                    held |= {fact: held.get(fact, False) or is_so for fact, is_so in found.items()}
                except (ForeactError, TransientError) as trouble:
                    self.troubles.append(_told(f"action {name} reports no facts", trouble, handler.option_values))
        return held

    def capture(self, action: Action, tick: datetime) -> dict[str, Any]:
        """Return the state that undo would restore; raises LookupError where the target cannot be read."""
        if action.name not in self.actions:
            return {}
        result = self._call(action, "capture", {}, tick)
        if result.value is None:
            raise LookupError(result.detail)
        return result.value

    def check(self, action: Action, intent: Intent, tick: datetime) -> ReceiptStatus:
        """Find out, without acting, whether an interrupted action took effect."""
        if action.name not in self.actions:
            return ReceiptStatus.UNKNOWN
        return self._call(action, "check", intent.before, tick).status

    def act(self, action: Action, tick: datetime, before: Mapping[str, Any] | None = None) -> Receipt:
        """Carry out an action, or undo one, in a process that can be ended; it never raises."""
        if action.name not in self.actions:
            detail = f"There is no action {action.name}; register it or remove it from the configuration."
            return Receipt(
                action_id=action.action_id,
                status=ReceiptStatus.FAILED,
                started_at=self.now(),
                finished_at=self.now(),
                detail=detail,
            )
        started_at = self.now()
        result = self._call(action, "undo" if action.undo_of else "run", before or {}, tick)
        if result.is_over and result.status in (ReceiptStatus.UNKNOWN, ReceiptStatus.TIMED_OUT):
            result = self._looked_after(action, result, before or {}, tick)
        return Receipt(
            action_id=action.action_id,
            status=result.status,
            started_at=started_at,
            finished_at=self.now(),
            detail=result.detail,
            claimed_impact=result.impact,
            evidence=result.evidence,
            undo=result.undo,
        )

    def _looked_after(self, action: Action, ended: CallResult, before: Mapping[str, Any], tick: datetime) -> CallResult:
        """Ask the action's check whether one that ended without an answer took effect, where it can tell."""
        found = self._call(action, "check", before, tick).status
        if action.undo_of:
            status = UNDO_BY_CHECK.get(found, found)
        else:
            status = ReceiptStatus.FAILED if found is ReceiptStatus.SKIPPED else found
        if status is ReceiptStatus.UNKNOWN:
            status = ended.status
        said = {
            ReceiptStatus.SUCCEEDED: "A check found that it took effect.",
            ReceiptStatus.FAILED: "A check found that it had no effect.",
        }
        told = said.get(status, "Whether it took effect is not known.")
        return replace(ended, status=status, detail=f"{ended.detail} {told}")

    def _call(self, action: Action, phase: Any, before: Mapping[str, Any], tick: datetime) -> CallResult:
        handler = self.actions[action.name]
        try:
            options = self.resolve(handler.option_values)
        except (ForeactError, TransientError) as trouble:
            return CallResult(ReceiptStatus.UNKNOWN if phase == "check" else ReceiptStatus.FAILED, str(trouble))
        return call(handler, phase, action.params, before, context_for(action, tick, options))


def _why_unusable(seen: Sample | Event, tick: datetime) -> str:
    """Return why something cannot be recorded, or "": the rest of what its source gives is none the worse for it."""
    if seen.ts.tzinfo is None:
        return "its time has no zone"
    if micros(seen.ts) < 0:
        return BEFORE_1970
    if seen.ts > tick + timedelta(seconds=FUTURE_S):
        return f"its time lies in the future ({seen.ts:%Y-%m-%d %H:%M})"
    if isinstance(seen, Sample):
        if not math.isfinite(seen.value):
            return "its value is no finite number"
        return _why_unreadable(seen.metric, seen.unit, seen.labels)
    return ""


def _why_unreadable(metric: str, unit: str, labels: Mapping[str, str]) -> str:
    texts = (metric, unit, *labels, *labels.values())
    is_readable = bool(metric) and all(text.isprintable() for text in texts)
    return "" if is_readable else "its name, unit or labels hold control characters"


def _usable(seen: SampleColumns, tick: datetime, unusable: dict[str, set[str]]) -> SampleColumns:
    """Return what of columns can be recorded, and say in `unusable` which series the rest is of, and why."""
    names = {series_id(name): name for name in seen.series}
    why = {series_id(name): _why_unreadable(each.metric, each.unit, each.labels) for name, each in seen.series.items()}
    unreadable = [number for number, reason in why.items() if reason]
    checks = {
        BEFORE_1970: seen.moments_us < 0,
        "its time lies in the future": seen.moments_us > micros(tick + timedelta(seconds=FUTURE_S)),
        "its value is no finite number": ~np.isfinite(seen.values),
        **{why[number]: np.isin(seen.numbers, unreadable) for number in unreadable[:1]},
    }
    for reason, is_unusable in checks.items():
        if is_unusable.any():
            numbers = np.unique(seen.numbers[is_unusable]).tolist()
            unusable.setdefault(reason, set()).update(names[number] for number in numbers)
    good = seen.where(~np.logical_or.reduce(list(checks.values())))
    return replace(good, series={name: each for name, each in seen.series.items() if series_id(name) not in unreadable})


def _newest(seen: SampleColumns, known: Mapping[str, datetime]) -> dict[str, datetime]:
    """Return the newest moment of each series of columns, or the one known where that is later."""
    if not len(seen):
        return {}
    names = {series_id(name): name for name in seen.series}
    numbers, places = np.unique(seen.numbers, return_inverse=True)
    last_us = np.full(len(numbers), np.iinfo(np.int64).min)
    np.maximum.at(last_us, places, seen.moments_us)
    found = zip((names[number] for number in numbers.tolist()), map(moment_at, last_us.tolist()), strict=True)
    return {name: max(at, known.get(name, at)) for name, at in found}


def _few(names: Iterable[str]) -> str:
    shown = sorted(name.encode("unicode_escape").decode() if not name.isprintable() else name for name in names)
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


def _told(what: str, trouble: Exception, options: Mapping[str, Any]) -> str:
    return masked(f"{what}: {type(trouble).__name__}: {trouble}", secrets_in(options))
