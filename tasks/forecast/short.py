"""Forecasts for histories too short to show a season: a level that reverts, with simulated errors."""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Float32s, Floats
from tasks.forecast.prepare import Ints

PRIOR_STEPS = 10.0
PRIOR_AUTOCORRELATION = 0.9


def reverting_paths(values: Float32s, start: Ints, horizon: int, draws: Float32s) -> Float32s:
    """Sample paths (n, s, h) of a first-order autoregression around the mean of each series.

    `values` (n, t) count from `start`; `draws` (s, h) are standard normal and shared by all series. The
    autocorrelation is shrunk toward that of a typical metric, as thirty points say little about it.
    """
    t = values.shape[1]
    inside = np.arange(t) >= start[:, None]
    count = inside.sum(axis=1)
    mean = (values * inside).sum(axis=1, dtype=float) / count
    centred = np.where(inside, values - mean[:, None], 0.0)
    variance = (centred**2).sum(axis=1) / count
    rho = _autocorrelation(centred, count)
    innovation = np.sqrt(variance * (1 - rho**2))
    # The mean of n dependent steps is itself uncertain.
    doubt = np.sqrt(variance * (1 + rho) / (1 - rho) / count)
    paths = np.empty((len(values), *draws.shape), dtype=np.float32)
    level = mean[:, None] + doubt[:, None] * draws[None, :, -1]
    error = np.repeat((values[:, -1] - mean)[:, None], len(draws), axis=1)
    for step in range(horizon):
        error = rho[:, None] * error + innovation[:, None] * draws[None, :, step]
        paths[:, :, step] = level + error - (level - mean[:, None]) * rho[:, None] ** (step + 1)
    return paths


def _autocorrelation(centred: Floats, count: Ints) -> Floats:
    lagged = (centred[:, 1:] * centred[:, :-1]).sum(axis=1)
    power = (centred**2).sum(axis=1)
    own = np.where(power > 0, lagged / np.where(power > 0, power, 1.0), 0.0)
    pooled = (count * own + PRIOR_STEPS * PRIOR_AUTOCORRELATION) / (count + PRIOR_STEPS)
    return np.asarray(np.clip(pooled, 0.0, 0.98))
