"""The pattern stage: what keeps happening in events and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from storage.records import Frame, Pattern, stable_id
from tasks.context import Context
from tasks.patterns import Finding, PatternInput, PatternSettings, find_patterns
from tasks.stage import stage

Patterns = tuple[Pattern, ...]


def _summary(patterns: Patterns) -> Mapping[str, Any]:
    kinds = [pattern.kind for pattern in patterns]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


@stage("patterns", _summary)
def find(context: Context, frames: tuple[Frame, ...]) -> Patterns:
    """Look for patterns in every window; events are looked at once, beside the longest one."""
    configured = context.settings.forecasting.pattern_recognizer
    settings = PatternSettings(
        min_occurrences=configured.min_occurrences,
        time_window_hours=configured.time_window_hours,
        timezone=configured.timezone,
    )
    found: list[Finding] = []
    for position, frame in enumerate(_longest_first(frames)):
        pattern_input = _input(context, frame, settings, with_events=position == 0)
        found += find_patterns(pattern_input, settings, context.tick.timestamp(), context.cycle.seed)
    patterns = tuple(_pattern(finding) for finding in found)
    context.store.patterns.append(patterns, context.cycle_id)
    return patterns


def _longest_first(frames: tuple[Frame, ...]) -> list[Frame]:
    return sorted(frames, key=lambda frame: frame.step_s * frame.values.shape[1], reverse=True)


def _input(context: Context, frame: Frame, settings: PatternSettings, *, with_events: bool) -> PatternInput:
    kinds: np.ndarray[Any, Any] = np.empty(0, dtype=str)
    times_s = np.empty(0)
    if with_events:
        since = context.tick - timedelta(seconds=settings.recurrence_window_s)
        columns = context.store.events.columns(since, context.tick)
        kinds = np.asarray(columns["event_type"], dtype=str)
        times_s = np.asarray(columns["ts"]).astype("datetime64[us]").astype(np.int64) / 1e6
    return PatternInput(
        names=frame.series,
        values=frame.values,
        end_s=frame.end.timestamp(),
        step_s=frame.step_s,
        event_types=kinds.tolist(),
        event_times_s=times_s,
    )


def _pattern(finding: Finding) -> Pattern:
    next_at = None if finding.next_at_s is None else datetime.fromtimestamp(finding.next_at_s, UTC)
    return Pattern(
        pattern_id=stable_id("pattern", finding.kind, finding.subject, finding.period_s),
        kind=finding.kind,
        subject=finding.subject,
        statement=finding.statement,
        strength=finding.strength,
        p_value=finding.p_value,
        evidence=dict(finding.evidence),
        next_at=next_at,
        period_s=finding.period_s,
    )
