"""The pattern stage: what keeps happening in events and metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from storage.facts import SEARCHED, LongSearch
from storage.records import Frame, Pattern, stable_id
from tasks.context import Context
from tasks.patterns import PatternInput, SearchSettings
from tasks.patterns.anomalies import find_anomalies
from tasks.patterns.find import find_event_patterns, find_series_patterns
from tasks.patterns.finding import Finding
from tasks.patterns.in_force import of_long_search, overlay, series_of
from tasks.patterns.inputs import ResidualsOf
from tasks.patterns.preceding_events import with_causes
from tasks.stage import stage

Patterns = tuple[Pattern, ...]
Residuals = Callable[[Context, Frame], ResidualsOf | None]

REFRESH_RATIO = 0.02


def _summary(patterns_found: Patterns) -> Mapping[str, Any]:
    kinds = [pattern.kind for pattern in patterns_found]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


@stage("patterns", _summary)
def patterns(context: Context, frames: tuple[Frame, ...], residuals: Residuals) -> Patterns:
    """Look for patterns in the events, and in every window of metrics beside them.

    `residuals` says how far each step of a frame's rows lies from what was to be expected one step before, None where
    nothing was; the forecast stage knows.

    What a long search of a frame found holds for a while: for `refresh_minutes`, or a fiftieth of its history where
    that is less. In between, events and the newest steps of metrics are looked at, and the rest is taken as it was
    found.
    """
    look = _look(context)
    alone = PatternInput((), np.empty((0, 0)), look.tick_s, 1.0, look.kinds, look.times_s)
    events = find_event_patterns(alone, look.settings, look.tick_s)
    named = {stable_id("search", frame.step_s, frame.series): frame for frame in frames}
    kept, searched_s = _searched(context, named)
    due = {name: frame for name, frame in named.items() if name not in searched_s}
    newest = [each for name, at_s in searched_s.items() for each in _newest(named[name], look, at_s)]
    fresh = tuple(map(_pattern, [*events, *_search(context, due.values(), look, events, residuals), *newest]))
    found = overlay(kept, fresh)
    # A search is kept whole under one cycle, with what still holds of earlier ones.
    context.store.patterns.append(found if due else fresh, context.cycle_id)
    if due:
        searched_s |= dict.fromkeys(due, look.tick_s)
        context.store.facts.set(SEARCHED, LongSearch(context.cycle_id, min(searched_s.values()), searched_s))
    return found


@dataclass(frozen=True)
class _Look:
    """How to look, at which moment, and the events."""

    settings: SearchSettings
    tick_s: float
    kinds: list[str]
    times_s: np.ndarray[Any, Any]


def _look(context: Context) -> _Look:
    configured = context.settings.forecasting.pattern_recognizer
    settings = SearchSettings(
        min_occurrences=configured.min_occurrences,
        time_window_hours=configured.time_window_hours,
        timezone=configured.timezone,
    )
    return _Look(settings, context.tick.timestamp(), *_events(context, settings))


def _search(
    context: Context, frames: Iterable[Frame], look: _Look, events: Sequence[Finding], residuals: Residuals
) -> Iterable[Finding]:
    recurrent = sorted({finding.subject for finding in events if finding.kind == "recurrence"})
    for frame in frames:
        window = replace(_window(frame, look), residuals=residuals(context, frame))
        findings = context.once(find_series_patterns, window, look.settings, look.tick_s, context.cycle.seed, recurrent)
        yield from with_causes(findings, window)


def _newest(frame: Frame, look: _Look, since_s: float) -> Iterable[Finding]:
    steps = max(1, int(np.ceil((frame.end.timestamp() - since_s) / frame.step_s)))
    return find_anomalies(_window(frame, look), look.settings, steps)


def _window(frame: Frame, look: _Look) -> PatternInput:
    return PatternInput(
        frame.series, frame.values, frame.end.timestamp(), frame.step_s, look.kinds, look.times_s, units=frame.units
    )


def _searched(context: Context, frames: Mapping[str, Frame]) -> tuple[Patterns, dict[str, float]]:
    """Return what long searches found that still holds, and by frame when that was, in unix seconds.

    Frames go by the series and the step that were searched: others ask for another search.
    """
    last = context.store.facts.get(SEARCHED)
    if last is None:
        return (), {}
    longest_s = context.settings.forecasting.pattern_recognizer.refresh_minutes * 60
    searched_s, series = dict[str, float](), set[str]()
    for name, frame in frames.items():
        at_s = last.frames.get(name, -np.inf)
        refresh_s = min(longest_s, REFRESH_RATIO * frame.values.shape[1] * frame.step_s)
        if 0 < context.tick.timestamp() - at_s < refresh_s:
            searched_s[name] = at_s
            series |= set(frame.series)
    found = of_long_search(context.store.patterns.of_search(last.cycle_id)) if searched_s else ()
    return tuple(each for each in found if series.issuperset(series_of(each))), searched_s


def _events(context: Context, settings: SearchSettings) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Return type and unix seconds of the events that the recurrence test looks back on."""
    since = context.tick - timedelta(seconds=settings.recurrence_window_s)
    columns = context.store.events.columns(since, context.tick)
    times_s = np.asarray(columns["ts"]).astype("datetime64[us]").astype(np.int64) / 1e6
    return [str(kind) for kind in columns["event_type"]], times_s


def _pattern(finding: Finding) -> Pattern:
    next_at = None if finding.next_at_s is None else datetime.fromtimestamp(finding.next_at_s, UTC)
    return Pattern(
        pattern_id=stable_id("pattern", *finding.identity),
        kind=finding.kind,
        subject=finding.subject,
        statement=finding.statement,
        strength=finding.strength,
        p_value=finding.p_value,
        evidence=dict(finding.evidence),
        next_at=next_at,
        period_s=finding.period_s,
    )
