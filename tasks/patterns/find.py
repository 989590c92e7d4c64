"""All detectors over one window of history."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from storage.errors import ForeactError
from tasks.patterns.anomalies import find_anomalies
from tasks.patterns.comovement import find_comovement
from tasks.patterns.effects import find_effects
from tasks.patterns.finding import Finding
from tasks.patterns.inputs import EARLIEST_S, LATEST_S, PatternInput, SearchSettings
from tasks.patterns.level_changes import find_changes
from tasks.patterns.recurrence import find_recurrences
from tasks.patterns.seasonality import find_seasonality
from tasks.patterns.sequences import find_sequences


def find_patterns(frame: PatternInput, settings: SearchSettings, tick_s: float, seed: int) -> tuple[Finding, ...]:
    """Return what every detector found in `frame` as seen at `tick_s` (unix seconds), strongest first within a kind.

    Events after `tick_s` are ignored. A detector with too little to judge by yields nothing; none raises on missing,
    constant, huge or unordered input. `seed` drives the resampling tests; the same input gives the same findings. A
    tick that no calendar names is refused with ForeactError.
    """
    if not EARLIEST_S < tick_s < LATEST_S:
        raise ForeactError("patterns.bad_tick", f"{tick_s} s is not a valid time.", "Pass unix seconds.")
    events = find_event_patterns(frame, settings, tick_s)
    recurrent = {finding.subject for finding in events if finding.kind == "recurrence"}
    findings = [*events, *find_series_patterns(frame, settings, tick_s, seed, recurrent)]
    return _strongest(findings, settings.max_findings_per_kind)


def find_event_patterns(frame: PatternInput, settings: SearchSettings, tick_s: float) -> tuple[Finding, ...]:
    """Return recurrences and sequences, which need the events of `frame` alone."""
    recurrences = find_recurrences(frame, settings, tick_s)
    recurrent = {finding.subject for finding in recurrences}
    findings = [*recurrences, *find_sequences(frame, settings, tick_s, recurrent)]
    return _strongest(findings, settings.max_findings_per_kind)


def find_series_patterns(
    frame: PatternInput, settings: SearchSettings, tick_s: float, seed: int, recurrent: Collection[str]
) -> tuple[Finding, ...]:
    """Return what the series of `frame` show, its events' effects on them included.

    For series on several grids: the events are looked at once, and their effects in every frame. `recurrent` names the
    event types that keep to the clock.
    """
    findings = [
        *find_effects(frame, settings, tick_s, recurrent),
        *find_anomalies(frame, settings),
        *find_changes(frame, settings),
        *find_seasonality(frame, settings, seed),
        *find_comovement(frame, settings),
    ]
    return _strongest(findings, settings.max_findings_per_kind)


def _strongest(findings: Sequence[Finding], per_kind: int) -> tuple[Finding, ...]:
    ordered = sorted(findings, key=lambda finding: (finding.kind, -finding.strength, finding.subject))
    kept: list[Finding] = []
    count: dict[str, int] = {}
    for finding in ordered:
        count[finding.kind] = count.get(finding.kind, 0) + 1
        if count[finding.kind] <= per_kind:
            kept.append(finding)
    return tuple(kept)
