"""The pattern stage: what keeps happening in events and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from storage.records import Frame, Pattern, stable_id
from tasks.context import Context
from tasks.patterns import Finding, PatternInput, PatternSettings, find_event_patterns, find_series_patterns
from tasks.stage import stage

Patterns = tuple[Pattern, ...]


def _summary(patterns: Patterns) -> Mapping[str, Any]:
    kinds = [pattern.kind for pattern in patterns]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


@stage("patterns", _summary)
def find(context: Context, frames: tuple[Frame, ...]) -> Patterns:
    """Look for patterns in the events once and in every window of metrics, beside the events."""
    configured = context.settings.forecasting.pattern_recognizer
    settings = PatternSettings(
        min_occurrences=configured.min_occurrences,
        time_window_hours=configured.time_window_hours,
        timezone=configured.timezone,
    )
    tick_s = context.tick.timestamp()
    kinds, times_s = _events(context, settings)
    alone = PatternInput((), np.empty((0, 0)), tick_s, 1.0, kinds, times_s)
    found = list(find_event_patterns(alone, settings, tick_s))
    recurrent = {finding.subject for finding in found if finding.kind == "recurrence"}
    for frame in frames:
        window = PatternInput(frame.series, frame.values, frame.end.timestamp(), frame.step_s, kinds, times_s)
        found += find_series_patterns(window, settings, tick_s, context.cycle.seed, recurrent)
    patterns = tuple(_pattern(finding) for finding in found)
    context.store.patterns.append(patterns, context.cycle_id)
    return patterns


def _events(context: Context, settings: PatternSettings) -> tuple[list[str], np.ndarray[Any, Any]]:
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
