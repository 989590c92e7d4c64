"""Sample paths: what the model missed at past origins, laid on today's prediction, and raw past windows."""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Float32s, Floats
from tasks.forecast.prepare import Ints
from tasks.forecast.seasonal import windows

RAW_CYCLES = 6
SCALE_CYCLES = 6
SCALE_FLOOR = 0.3


def phase_scale(raw: Float32s, season: int) -> Float32s:
    """Smoothed typical |x_t − x_{t−season}| at each phase after the last step, (n, season), never near 0."""
    n, t = raw.shape
    cycles = max(1, min(SCALE_CYCLES, (t - season) // season))
    change = np.abs(raw[:, season:] - raw[:, :-season])[:, -cycles * season :]
    mean = change.reshape(n, cycles, season).mean(axis=1)
    width = max(3, (season // 24) | 1)
    wrapped = np.concatenate([mean[:, -(width // 2) :], mean, mean[:, : width // 2]], axis=1)
    sums = np.zeros((n, wrapped.shape[1] + 1))
    np.cumsum(wrapped, axis=1, out=sums[:, 1:])
    smooth = (sums[:, width:] - sums[:, :-width]) / width
    floor = SCALE_FLOOR * smooth.mean(axis=1, keepdims=True)
    return np.asarray((np.maximum(smooth, floor) + 1e-12).astype(np.float32))


def rescale_errors(errors: Float32s, origins: Ints, scale: Float32s, length: int) -> Float32s:
    """Errors (n, o, h) met at other phases, as if met after the last step: times √(phase-scale ratio)."""
    season, horizon = scale.shape[1], errors.shape[2]
    root = np.sqrt(scale)
    ahead = np.arange(horizon) % season
    then = (origins[:, None] + 1 + ahead[None, :] - length) % season
    return np.asarray(errors * (root[:, ahead][:, None, :] / root[:, then]))


def raw_windows(raw: Float32s, season: int, horizon: int, count: int) -> Float32s:
    """`count` past windows (n, count, h) that begin at the phase of the forecast, the newest six in turn."""
    t = raw.shape[1]
    past = 1 + np.arange(count) % max(1, min(RAW_CYCLES, t // season - 1))
    origins = t - 1 - past * season
    if horizon <= season:
        return windows(raw, origins, horizon, season)
    whole = origins[:, None] + 1 + np.arange(horizon)[None, :]
    return np.asarray(raw[:, np.where(whole < t, whole, (whole - t) % season + t - season)])


def clip_paths(paths: Float32s, history: Float32s, zero: Floats, never_below_zero: Floats) -> Float32s:
    """Paths within one range of the history beyond its extremes; `zero` is where 0 lies in path units."""
    low, high = history.min(axis=1), history.max(axis=1)
    reach = high - low
    floor = np.where(
        never_below_zero, np.maximum(low - reach, np.clip(zero, -1e30, 1e30).astype(np.float32)), low - reach
    )
    return np.clip(paths, floor[:, None, None], (high + reach)[:, None, None], out=paths)
