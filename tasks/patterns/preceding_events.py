"""Which recorded event came just before a change of level: what makes a detected change a known one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from tasks.patterns.finding import Finding
from tasks.patterns.inputs import Floats, PatternInput

_LEAST_LEAD_S = 30 * 60.0
_LEAD_STEPS = 3
# An event that is recorded all day long comes before everything.
_MOST_COVERED = 0.05


def with_causes(findings: Iterable[Finding], frame: PatternInput) -> Iterable[Finding]:
    """Return the findings, each change of level with the event that came just before it, where there is one.

    Just before is half an hour, or three steps where those are longer; of several events the nearest counts. Types that
    are so frequent that a twentieth of all moments lie just after one explain nothing.
    """
    lead_s = max(_LEAST_LEAD_S, _LEAD_STEPS * frame.step_s)
    rare = _rare(frame, lead_s)
    for finding in findings:
        yield _with_cause(finding, rare, frame.step_s, lead_s) if finding.kind == "change_point" else finding


def _rare(frame: PatternInput, lead_s: float) -> Mapping[str, Floats]:
    span_s = frame.step_s * frame.values.shape[1]
    events = frame.events_between(frame.end_s - span_s - lead_s, frame.end_s)
    return {kind: times_s for kind, times_s in events.items() if len(times_s) * lead_s <= _MOST_COVERED * span_s}


def _with_cause(finding: Finding, rare: Mapping[str, Floats], step_s: float, lead_s: float) -> Finding:
    at_s = float(str(finding.evidence["at_s"]))
    # A step is named by its end, and the first that is touched may still look like the old level.
    before = [
        (at_s - time_s, kind)
        for kind, times_s in rare.items()
        for time_s in times_s.tolist()
        if at_s - lead_s - step_s <= time_s <= at_s
    ]
    if not before:
        return finding
    since_s, kind = min(before)
    statement = f"{finding.statement} {kind} had been recorded {max(0.0, since_s) / 60:.0f} min before."
    return replace(
        finding, statement=statement, evidence={**finding.evidence, "event": kind, "event_at_s": at_s - since_s}
    )
