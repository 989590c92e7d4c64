"""What stands in for a fleet that has taught nothing yet: values typical of server metrics.

Measured on histories of 1.25 to 3.5 days at steps of five minutes and an hour, pooled over hundreds of series.
"""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Float32s, Floats
from tasks.forecast.coefficients import buckets
from tasks.forecast.seasonal import FEATURES

FLOOR_RATIO = 1e-4
ERROR_WIDTH = 0.52  # of a forecast far ahead, in units of the mean seasonal change
GROWTH = 0.15  # of the width over each season ahead
FADING = 10.0  # today's deviation falls by a factor e in a tenth of a season
FRESH_SHARE = 0.35  # of the error's variance that is new at every step


def coefficients(season: int, horizon: int, weekly: bool) -> Floats:
    """Coefficients (buckets, features): most of today's deviation from the base goes on, and soon fades."""
    table = np.zeros((len(buckets(horizon)), len(FEATURES) if weekly else len(FEATURES) - 1))
    for row, (first, end) in zip(table, buckets(horizon), strict=True):
        fading = np.exp(-FADING * (first + end - 1) / 2 / season)
        values = {"naive": 0.2, "curvature": 0.07, "cycle": 0.01, "cycle_change": 0.08}
        values |= {"level": 0.85 * fading, "last": 0.1 * fading}
        for name, value in values.items():
            row[FEATURES.index(name)] = value
    return table


def error_library(season: int, horizon: int, count: int, seed: int) -> Float32s:
    """Error paths (count, h) of a first-order autoregression plus fresh noise, with heavy tails across paths."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((2, count, horizon))
    rho = np.exp(-FADING / season)
    drift, drifting = np.zeros(count), np.empty((count, horizon))
    for step in range(horizon):
        drift = rho * drift + np.sqrt(1 - rho**2) * noise[0, :, step]
        drifting[:, step] = drift
    stretch = student_stretch(count, rng)
    mixed = np.sqrt(1 - FRESH_SHARE) * drifting + np.sqrt(FRESH_SHARE) * noise[1]
    growth = 1 + GROWTH * np.arange(1, horizon + 1) / season
    return np.asarray((ERROR_WIDTH * growth * mixed * stretch[:, None]).astype(np.float32))


def student_stretch(count: int, rng: np.random.Generator) -> Floats:
    """Factors (count,), in random order, that give pooled normal errors the tails of a Student t of two degrees.

    They are √(2 / χ²) at evenly spread probabilities, so that a few dozen already hold both quiet and wild series;
    the quantile of χ² with two degrees of freedom is −2·log(1 − p).
    """
    share = (rng.permutation(count) + 0.5) / count
    return np.asarray(1 / np.sqrt(-np.log1p(-share)))
