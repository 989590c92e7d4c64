"""History as it would have been had nothing been done.

Where an action helps every evening, the history of its metric shows calm evenings. A forecast from that history
foresees no trouble, so nothing is done, and trouble comes; and what the action changes is measured against a forecast
that already counts on it. So what was measured of an act is taken back out of the history, for as long as its effect is
known to last. Of acts whose effect stays for good nothing is taken out: the level they left behind is the level.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from storage.records import FloatArray, Frame, Outcome, ReceiptStatus, Verdict, metric_of

UNMEASURED = frozenset({Verdict.UNKNOWN, Verdict.CONFOUNDED})


@dataclass(frozen=True)
class PassingEffect:
    """By how much, in units of the metric, an act changed a series in (start, end]."""

    series: str
    start: datetime
    end: datetime
    change: float


def passing_effects_of(
    outcomes: Iterable[Outcome], durations_s: Mapping[str, float | None], undone_at: Mapping[str, datetime]
) -> tuple[PassingEffect, ...]:
    """Return what acts changed for a time: each that has an effect of known duration, by what its action does.

    `durations_s` is by action name, `undone_at` by action id. What an action does is the mean of all that was measured
    of it on that series, conclusive or not, and one act that changed nothing: to pick the conclusive ones would take
    chance for effect, and to take each by its own number would carry the noise of one evening into all that follow.
    """
    acts = [
        each for each in outcomes if each.status is ReceiptStatus.SUCCEEDED and durations_s.get(each.action) is not None
    ]
    changes = _changes(acts)
    return tuple(
        PassingEffect(act.series, act.acted_at, _end(act, durations_s[act.action] or 0.0, undone_at), change)
        for act in acts
        if (change := changes.get((act.action, act.series)))
    )


def _changes(acts: Sequence[Outcome]) -> dict[tuple[str, str], float]:
    measured: dict[tuple[str, str], list[float]] = {}
    for act in acts:
        if act.estimate is not None and act.verdict not in UNMEASURED:
            measured.setdefault((act.action, act.series), []).append(act.estimate)
    return {key: sum(estimates) / (len(estimates) + 1) for key, estimates in measured.items()}


def _end(act: Outcome, duration_s: float, undone_at: Mapping[str, datetime]) -> datetime:
    end = act.acted_at + timedelta(seconds=duration_s)
    return min(end, undone_at.get(act.action_id, end))


def without_effects(frame: Frame, touches: Sequence[PassingEffect]) -> Frame:
    """Return the frame with the changes of these acts taken out; the same frame where none lies in it.

    A series that was never negative does not become so, and a share stays at most 1.
    """
    changes = np.zeros_like(frame.values)
    rows = {series: row for row, series in enumerate(frame.series)}
    for touch in touches:
        if touch.series in rows:
            changes[rows[touch.series], _steps(frame, touch)] += touch.change
    changed = np.flatnonzero(changes.any(axis=1))
    if not len(changed):
        return frame
    values = frame.values.copy()
    for row in changed:
        values[row] = _within_nature(frame.series[row], frame.values[row], frame.values[row] - changes[row])
    return frame.model_copy(update={"values": values})


def _steps(frame: Frame, touch: PassingEffect) -> slice:
    """Return the columns whose step ends in (start, end]."""
    last: int = frame.values.shape[1] - 1

    def column(moment: datetime) -> int:
        return last + math.floor((moment - frame.end).total_seconds() / frame.step_s) + 1

    return slice(max(0, column(touch.start)), max(0, column(touch.end)))


def _within_nature(series: str, seen: FloatArray, values: FloatArray) -> FloatArray:
    lowest, highest = np.fmin.reduce(seen), np.fmax.reduce(seen)
    if lowest >= 0:
        values = np.maximum(values, 0.0)
    if metric_of(series).endswith("_ratio") and highest <= 1:
        values = np.minimum(values, 1.0)
    return values
