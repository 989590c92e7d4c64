"""What stands in for a fleet that has taught nothing yet: values typical of server metrics."""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Float32s, Floats
from tasks.forecast.coefficients import buckets
from tasks.forecast.seasonal import FEATURES

FLOOR_RATIO = 1e-4
LIBRARY_SEED = 20240101
SEASONAL_CHANGE_SD = 0.9  # standard deviation of a forecast error far ahead, in units of the mean seasonal change


def coefficients(season: int, horizon: int, weekly: bool) -> Floats:
    """Coefficients (buckets, features): today's deviation fades over a third of a season."""
    table = np.zeros((len(buckets(horizon)), len(FEATURES) if weekly else len(FEATURES) - 1))
    for row, (first, end) in zip(table, buckets(horizon), strict=True):
        phase = (first + end - 1) / 2 / season
        row[FEATURES.index("level")] = 0.9 * np.exp(-3 * phase)
        row[FEATURES.index("last")] = 0.7 * np.exp(-40 * phase)
        row[FEATURES.index("cycle")] = 0.1
    return table


def error_library(season: int, horizon: int, count: int) -> Float32s:
    """Error paths (count, h) of a first-order autoregression that forgets over a third of a season."""
    noise = np.random.default_rng(LIBRARY_SEED).standard_normal((count, horizon))
    rho = np.exp(-3 / season)
    errors = np.empty((count, horizon), dtype=np.float32)
    error = np.zeros(count)
    for step in range(horizon):
        error = rho * error + np.sqrt(1 - rho**2) * noise[:, step]
        errors[:, step] = SEASONAL_CHANGE_SD * error
    return errors
