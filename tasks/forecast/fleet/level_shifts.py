"""Bring history before a known change of level toward the level after it, so that old cycles mislead less.

Only a change that is known, from an event or a detector that saw it last, is aligned. Guessing shifts from the series
alone, even eight standard deviations out, made forecasts of recorded metrics worse: most such jumps revert.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from storage.records import Frame, Pattern
from tasks.forecast.batch import Floats
from tasks.forecast.fleet.prepare import Ints

LEAST_SHARE = 0.125
"""Of a season that must have passed since; less has shown too little. After so much the old level counts as the new."""


def align(values: Floats, changed_at: Ints, season: int) -> Floats:
    """Histories (n, t), NaN where missing, each moved before its change toward the level that it brought.

    `changed_at` holds the step at which each series changed, negative where none is known. The shift is the median
    of the first season after the change minus the same phase before it. Half of it is taken after an eighth of a
    season, and the more the longer the new level has stood.
    """
    t, shown = values.shape[1], max(round(LEAST_SHARE * season), 1)
    rows = np.flatnonzero((changed_at >= season) & (changed_at <= t - shown))
    if not len(rows):
        return values
    moved = values.copy()
    for row in rows.tolist():
        since = int(changed_at[row])
        after = values[row, since : since + season]
        change = after - values[row, since - season : since - season + len(after)]
        change = change[np.isfinite(change)]
        if len(change):
            before = values[row, :since]
            floor = 0.0 if np.nanmin(values[row]) >= 0 else -np.inf
            weight = (t - since) / (t - since + LEAST_SHARE * season)
            moved[row, :since] = np.maximum(before + weight * np.median(change), floor)
    return moved


LEAST_Z = 8.0


def known_changes(frame: Frame, patterns: Iterable[Pattern]) -> Ints | None:
    """Return the step at which each series of a frame is known to have changed its level, −1 where none is known.

    A detector alone does not make a change known: most jumps revert, and aligning them made forecasts worse
    (docs/forecasting.md). It must be clear (z ≥ 8), have lasted since, and an event must have been recorded just before
    it. None where no series has one.
    """
    steps = frame.values.shape[1]
    rows = {series: row for row, series in enumerate(frame.series)}
    changed = np.full(len(rows), -1, dtype=np.intp)
    for pattern in patterns:
        if pattern.kind == "change_point" and pattern.subject in rows and _is_known(pattern):
            age_s = frame.end.timestamp() - float(pattern.evidence["at_s"])
            step = steps - 1 - math.floor(age_s / frame.step_s + 1e-9)
            row = rows[pattern.subject]
            if 0 <= step < steps:
                changed[row] = max(changed[row], step)
    return changed if (changed >= 0).any() else None


def _is_known(pattern: Pattern) -> bool:
    evidence = pattern.evidence
    return bool(evidence.get("event")) and bool(evidence.get("lasts")) and float(evidence.get("z", 0.0)) >= LEAST_Z
