"""Counters: what only counts up has no level, so that an action shows in how fast it grows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from storage.records import BoolArray, FloatArray, metric_of
from tasks.measure.inference.past_errors import ErrorLedger

COUNTER_ENDS = ("_total", "_count")
MOST_RESETS_RATIO = 0.05


def is_counter(series: str, ledger: ErrorLedger) -> bool:
    """Tell whether a series is a counter: so by its name's end, and it rose in the past and seldom fell (a restart)."""
    if not metric_of(series).endswith(COUNTER_ENDS) or ledger.observed is None:
        return False
    steps = np.diff(ledger.observed, axis=1)
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


def growth_ledger(ledger: ErrorLedger) -> ErrorLedger:
    """Return the errors that the same forecasts made in foretelling the growth of a counter."""
    assert ledger.observed is not None
    errors = growth(ledger.errors, resets(ledger.observed))
    # The scale of past one-step errors holds the jumps of resets: growth is compared without it.
    level = np.ones(len(errors))
    return replace(
        ledger, errors=errors, scale=level, current_scale=1.0, observed=None, foretold_error=None, unsettled_error=0.0
    )
