"""How much wider the intervals of a young fleet have to be, by what it missed of late.

A fleet of one to four days has too little behind it for errors of its own, and those of its first day tell little of
its third. So the last eighths of its history are each forecast from what was there before, and what all of them call
for is done: one alone tells of the weather that its series shared. Only few steps ahead can be judged so; the same
factor was right for those beyond.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tasks.forecast.batch import Floats, ForecastBatch
from tasks.forecast.fleet.method_by_history import has_own_errors
from tasks.forecast.fleet.prepare import MIN_USABLE_POINTS

PARTS, STRETCHES = 8, 3  # of the history, and how many of them are judged
COVERED, INTERVAL = 0.9, (0.05, 0.5, 0.95)
LEAST_WIDTH, MOST_WIDTH = 0.8, 1.5
MOST_AT_ONE_STRETCH = 2.0
SAME = 1e-6  # of an interval: what lies so near to an end or the middle rests there, and tells nothing of widths
LEAST_SIDE = 1e-3  # of a series' mean interval: narrower sides are what rounding makes of a point
FEWEST_POINTS = 50


def young_width(values: Floats, season: int, horizon: int, foretold: Callable[[Floats, int], ForecastBatch]) -> float:
    """Return the factor of the intervals of a fleet, given series (n, t) of it and what forecasts so many steps.

    1 where there is too little history, or so much that series have errors of their own.
    """
    length = values.shape[1]
    ahead = min(horizon, length // PARTS)
    ends = [length - stretch * ahead for stretch in range(1, STRETCHES + 1)]
    if ends[-1] < MIN_USABLE_POINTS or has_own_errors(length, season, horizon):
        return 1.0
    needed = [factor_needed(foretold(values[:, :end], ahead), values[:, end : end + ahead]) for end in ends]
    # Never narrower: in a loop that acts, a few calm stretches promised more than what came after held.
    return max(1.0, agreed_width(np.asarray(needed), 1.0))


def agreed_width(needed: Floats, trust: float) -> float:
    """Return the factor that errors at every end call for, given as logarithms (ends,): none where they disagree."""
    return float(np.clip(np.exp(trust * (max(needed.min(), 0.0) + min(needed.max(), 0.0))), LEAST_WIDTH, MOST_WIDTH))


def factor_needed(forecast: ForecastBatch, came: Floats) -> float:
    """Return the factor, as a logarithm, with which intervals cover what came (n, h), NaN where missing."""
    nearest = [int(np.abs(np.asarray(forecast.levels) - level).argmin()) for level in INTERVAL]
    low, middle, high = np.moveaxis(forecast.quantiles[:, :, nearest], 2, 0)
    miss, near = came - middle, SAME * np.maximum(high - low, np.abs(came))
    moved = (np.abs(miss) > near) & (np.abs(came - low) > near) & (np.abs(came - high) > near)
    if moved.sum() <= FEWEST_POINTS:
        return 0.0
    side = np.where(miss > 0, high - middle, middle - low)
    reach = np.abs(miss) / np.maximum(side, LEAST_SIDE * (high - low).mean(axis=1, keepdims=True) + 1e-300)
    most = np.log(MOST_AT_ONE_STRETCH)
    return float(np.clip(np.log(max(np.quantile(reach[moved], COVERED), 1e-3)), -most, most))
