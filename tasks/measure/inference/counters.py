"""Counters: what only counts up has no level, so that an action shows in how fast it grows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tasks.growth import counts_up, growth, resets
from tasks.measure.inference.past_errors import ErrorLedger


def is_counter(series: str, ledger: ErrorLedger) -> bool:
    """Tell whether a series is a counter, by its name and its past."""
    return ledger.observed is not None and counts_up(series, ledger.observed)


def growth_ledger(ledger: ErrorLedger) -> ErrorLedger:
    """Return the errors that the same forecasts made in foretelling the growth of a counter."""
    assert ledger.observed is not None
    errors = growth(ledger.errors, resets(ledger.observed))
    # The scale of past one-step errors holds the jumps of resets: growth is compared without it.
    level = np.ones(len(errors))
    return replace(
        ledger, errors=errors, scale=level, current_scale=1.0, observed=None, foretold_error=None, unsettled_error=0.0
    )
