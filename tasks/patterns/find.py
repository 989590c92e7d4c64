"""All detectors over one window of history."""

from __future__ import annotations

from tasks.patterns.anomalies import find_anomalies
from tasks.patterns.finding import Finding
from tasks.patterns.inputs import PatternInput, PatternSettings
from tasks.patterns.recurrence import find_recurrences


def find_patterns(frame: PatternInput, settings: PatternSettings, tick_s: float, seed: int) -> tuple[Finding, ...]:
    """Return what every detector found in `frame` as seen at `tick_s` (unix seconds), strongest first within a kind.

    Events after `tick_s` are ignored. A detector with too little to judge by yields nothing; none raises on missing,
    constant, huge or unordered input. `seed` drives the resampling tests; the same input gives the same findings.
    """
    found = [
        *find_recurrences(frame, settings, tick_s),
        *find_anomalies(frame, settings),
    ]
    return _strongest(found, settings.max_findings_per_kind)


def _strongest(findings: list[Finding], per_kind: int) -> tuple[Finding, ...]:
    ordered = sorted(findings, key=lambda finding: (finding.kind, -finding.strength, finding.subject))
    kept: list[Finding] = []
    count: dict[str, int] = {}
    for finding in ordered:
        count[finding.kind] = count.get(finding.kind, 0) + 1
        if count[finding.kind] <= per_kind:
            kept.append(finding)
    return tuple(kept)
