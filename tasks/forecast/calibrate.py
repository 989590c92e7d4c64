"""Additive quantile offsets per horizon bucket: how far past quantiles were off, pooled over the fleet."""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Float32s, Floats
from tasks.forecast.coefficients import buckets, by_step

BACKTEST_STRENGTH = 0.5  # one window held back says something about the next, not everything


def no_offsets(horizon: int, levels: tuple[float, ...]) -> Floats:
    return np.zeros((len(buckets(horizon)), len(levels)))


def backtest_offsets(misses: Float32s, horizon: int, levels: tuple[float, ...]) -> Floats:
    """Offsets (buckets, levels) from misses = truth − quantile (n, h, q) of one backtest, at half strength."""
    offsets = no_offsets(horizon, levels)
    for i, (first, end) in enumerate(buckets(horizon)):
        for j, level in enumerate(levels):
            offsets[i, j] = np.quantile(misses[:, first - 1 : end - 1, j], level)
    return BACKTEST_STRENGTH * offsets


def add_offsets(quantiles: Float32s, offsets: Floats, horizon: int) -> Float32s:
    """Quantiles (n, h, q) moved by offsets (buckets, q), interpolated over log(step) and kept in order."""
    moved = quantiles + by_step(offsets[None], horizon)
    return np.asarray(np.maximum.accumulate(moved, axis=2))
