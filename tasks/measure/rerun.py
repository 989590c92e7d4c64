"""Forecasts made again along a history, where those that were issued are too few."""

from __future__ import annotations

import numpy as np

from storage.records import FloatArray, Frame, IntArray
from tasks.forecast import forecast_batch, with_running_times

RERUN_ORIGINS = 60
FEWEST_HISTORY_STEPS = 30


def past_origins(values: FloatArray, ahead: int) -> IntArray:
    """Return known steps of a history (n,) that lie `ahead` steps or more before its end, evenly spread."""
    steps: IntArray = np.flatnonzero(np.isfinite(values))
    if not len(steps):
        return steps
    steps = steps[(steps >= steps[0] + FEWEST_HISTORY_STEPS) & (steps < len(values) - ahead)]
    count = min(len(steps), RERUN_ORIGINS)
    return steps[np.unique(np.linspace(0, len(steps) - 1, count).round().astype(np.int64))] if count else steps


def forecast_from(history: Frame, values: FloatArray, origins: IntArray, ahead: int, seed: int) -> FloatArray:
    """Forecast a metric's values (n_steps,) from each origin, seeing only what lay before: (n_origins, ahead)."""
    seen = np.full((len(origins), len(values)), np.nan)
    for row, origin in enumerate(origins):
        seen[row, len(values) - 1 - origin :] = values[: origin + 1]
    batch = forecast_batch(seen, season_lengths=history.season_lengths, horizon=ahead, seed=seed)
    return np.asarray(with_running_times(batch, seen, seed).point, dtype=np.float64)
