"""Which changes of level are known well enough to align a history by."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from storage.records import Frame, Pattern
from tasks.forecast.prepare import Ints

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
