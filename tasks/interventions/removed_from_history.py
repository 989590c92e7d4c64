"""History as it would have been had nothing been done.

Where an action helps every evening, the history of its metric shows calm evenings. A forecast from that history
foresees no trouble, so nothing is done, and trouble comes; and what the action changes is measured against a forecast
that already counts on it. So what is believed of acts whose effect passes is taken back out of the history, by what
each did at that age and hour.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from storage.records import FloatArray, Frame, metric_of
from tasks.interventions.effect_over_time import ActEffects


def without_effects(frame: Frame, effects: Mapping[str, ActEffects]) -> Frame:
    """Return the frame with what acts changed, by series, taken out; the same frame where they changed nothing in it.

    A series that was never negative does not become so, and a share stays at most 1.
    """
    steps = frame.values.shape[1]
    ends_s = frame.end.timestamp() - frame.step_s * np.arange(steps - 1, -1, -1.0)
    changed: dict[int, FloatArray] = {}
    for row, series in enumerate(frame.series):
        if series in effects and (changes := effects[series].changes(ends_s)).any():
            seen = frame.values[row]
            changed[row] = within_nature(series, seen, seen - changes)
    if all(np.array_equal(values, frame.values[row], equal_nan=True) for row, values in changed.items()):
        return frame
    values = frame.values.copy()
    values[list(changed)] = list(changed.values())
    return frame.model_copy(update={"values": values})


def within_nature(series: str, seen: FloatArray, values: FloatArray) -> FloatArray:
    """Return values of a series kept to what it can be, by all that was seen of it (n_steps,)."""
    lowest, highest = np.fmin.reduce(seen), np.fmax.reduce(seen)
    ceiling = 1.0 if metric_of(series).endswith("_ratio") and highest <= 1 else np.inf
    return np.clip(values, 0.0 if lowest >= 0 else -np.inf, ceiling)
