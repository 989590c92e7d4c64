"""Counters: what only counts up has no level, and says something by how fast it grows."""

from __future__ import annotations

import numpy as np

from storage.records import BoolArray, FloatArray, metric_of

COUNTER_ENDS = ("_total", "_count")
MOST_RESETS_RATIO = 0.05


def is_named_as_counter(series: str) -> bool:
    """Tell whether a series has the name of a counter."""
    return metric_of(series).endswith(COUNTER_ENDS)


def counts_up(series: str, values: FloatArray) -> bool:
    """Tell whether values (..., n), NaN where missing, are a counter: so by name, and they seldom fell (a restart)."""
    if not is_named_as_counter(series):
        return False
    steps = np.diff(values, axis=-1)
    rises, falls = int((steps > 0).sum()), int((steps < 0).sum())
    return rises > 0 and falls <= MOST_RESETS_RATIO * rises


def growth(values: FloatArray, is_reset: BoolArray | None = None) -> FloatArray:
    """Return by how much values (..., n) grew in each step, NaN in the first and where the counter began anew."""
    grown = np.full(values.shape, np.nan)
    grown[..., 1:] = np.diff(values, axis=-1)
    return grown if is_reset is None else np.where(is_reset, np.nan, grown)


def resets(values: FloatArray) -> BoolArray:
    """Return at which steps of values (..., n) a counter began anew."""
    return np.asarray(growth(values) < 0)
