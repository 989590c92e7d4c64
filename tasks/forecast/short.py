"""Forecasts for histories too short to show a season, or that show nothing at all."""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Float32s, Floats, path_quantiles
from tasks.forecast.fit import FleetState
from tasks.forecast.prepare import Ints, Scaled

PRIOR_STEPS = 10.0
PRIOR_AUTOCORRELATION = 0.9


def short_forecast(scaled: Scaled, start: Ints, state: FleetState) -> tuple[Float32s, Float32s]:
    """Sample paths (n, s, h) and quantiles (n, h, q), in path units, of series that count from `start`."""
    draws = _draws(state)
    paths = reverting_paths(scaled.raw, start, state.horizon, draws)
    return paths, path_quantiles(paths, state.levels)


def constant_forecast(scaled: Scaled, start: Ints, state: FleetState) -> tuple[Float32s, Float32s]:
    """The last value for ever, with a narrow width; none where the value is 0 and has no scale."""
    width = np.where(scaled.centre != 0, np.float32(1), np.float32(0)).astype(np.float32)
    offsets = np.sort(_draws(state)[:, 0])
    paths = np.repeat((width[:, None] * offsets)[:, :, None], state.horizon, axis=2)
    return paths, path_quantiles(paths, state.levels)


def reverting_paths(values: Float32s, start: Ints, horizon: int, draws: Float32s) -> Float32s:
    """Sample paths (n, s, h) of a first-order autoregression around the mean of each series.

    `values` (n, t) count from `start`; `draws` (s, h + 1) are standard normal and shared by all series. The
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
    paths = np.empty((len(values), len(draws), horizon), dtype=np.float32)
    shift = doubt[:, None] * draws[None, :, -1]
    error = np.repeat((values[:, -1] - mean)[:, None], len(draws), axis=1)
    for step in range(horizon):
        error = rho[:, None] * error + innovation[:, None] * draws[None, :, step]
        paths[:, :, step] = mean[:, None] + error + shift * (1 - rho[:, None] ** (step + 1))
    return paths


def _draws(state: FleetState) -> Float32s:
    shape = (state.path_count, state.horizon + 1)
    return np.random.default_rng(state.seed).standard_normal(shape).astype(np.float32)


def _autocorrelation(centred: Floats, count: Ints) -> Floats:
    lagged = (centred[:, 1:] * centred[:, :-1]).sum(axis=1)
    power = (centred**2).sum(axis=1)
    own = np.where(power > 0, lagged / np.where(power > 0, power, 1.0), 0.0)
    pooled = (count * own + PRIOR_STEPS * PRIOR_AUTOCORRELATION) / (count + PRIOR_STEPS)
    return np.asarray(np.clip(pooled, 0.0, 0.98))
