"""Additive quantile offsets per horizon bucket: how far past quantiles were off, pooled over the fleet."""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Float32s, Floats
from tasks.forecast.fleet.regression import buckets, by_step


def no_offsets(horizon: int, levels: tuple[float, ...]) -> Floats:
    return np.zeros((len(buckets(horizon)), len(levels)))


def add_offsets(quantiles: Float32s, offsets: Floats, horizon: int) -> Float32s:
    """Quantiles (n, h, q) moved by offsets (buckets, q), interpolated over log(step) and kept in order."""
    if not offsets.any():
        return quantiles
    moved = quantiles + by_step(offsets[None], horizon)
    return np.asarray(np.maximum.accumulate(moved, axis=2))


def at_levels(offsets: Floats, levels: tuple[float, ...], wanted: tuple[float, ...]) -> Floats:
    """Offsets (buckets, wanted) at other levels, between those known; beyond them the outermost go on."""
    return np.stack([np.interp(wanted, levels, row) for row in offsets])
