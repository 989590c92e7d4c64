"""How wide the intervals of a young fleet are to be, by what it missed of late.

A fleet of one to four days has too little behind it to hold horizons back, and errors of its first day tell little of
its third. So the last three eighths of its history are each foretold from what was there before, as it would have been
then, and what all three call for is done: one alone tells of the weather that its series shared. Only few steps ahead
can be judged so, and the same holds for those beyond.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tasks.forecast.batch import Floats
from tasks.forecast.fleet import method_by_history
from tasks.forecast.fleet.cold_start import pooled_forecast, short_forecast
from tasks.forecast.fleet.fleet_state import FleetState
from tasks.forecast.fleet.prepare import MIN_USABLE_POINTS, prepare, scale_histories
from tasks.forecast.fleet.resting import resting_values, settle
from tasks.forecast.fleet.tuning import COVERED, INTERVAL, LEAST_SERIES, LEAST_WIDTH, MOST_WIDTH, agreed_factor

PARTS, JUDGED_PARTS = 8, 3
SAME = 1e-6  # of an interval: what lies so near to an end or the middle rests there, and tells nothing of widths
LEAST_SIDE = 1e-3  # of a mean interval


def young_width(sample: Floats, season: int, horizon: int, fit: Callable[[Floats, int], FleetState]) -> float:
    """Return the factor of the intervals of a young fleet, given series (n, t) of it and what fits a fleet.

    `fit` gets histories and a horizon. 1 where series have errors of their own, or there is too little to judge.
    """
    length = sample.shape[1]
    ahead = min(horizon, length // PARTS)
    ends = [length - part * ahead for part in range(1, JUDGED_PARTS + 1)]
    is_young = length >= method_by_history.POOLED_CYCLES * season > 0
    if not is_young or method_by_history.has_own_errors(length, season, horizon) or ends[-1] < MIN_USABLE_POINTS:
        return 1.0
    beyond = [
        _beyond(sample[:, :end], sample[:, end : end + ahead], season, fit(sample[:, :end], ahead)) for end in ends
    ]
    return float(np.clip(agreed_factor(np.asarray(beyond), 1.0), LEAST_WIDTH, MOST_WIDTH))


def _beyond(past: Floats, truth: Floats, season: int, state: FleetState) -> float:
    """Return how far what came (n, h) lay beyond what would have been foretold, in widths, as a logarithm."""
    history = prepare(past, season, state.tuning.winsor_mads)
    usable = ~method_by_history.constant(history) & np.isfinite(truth).all(axis=1) & (history.slope == 0)
    rows = np.flatnonzero(usable & (history.usable >= MIN_USABLE_POINTS))
    if len(rows) < LEAST_SERIES:
        return 0.0
    history = history.take(rows)
    scaled = scale_histories(history, season)
    method = pooled_forecast if past.shape[1] >= method_by_history.POOLED_CYCLES * season else short_forecast
    paths, quantiles = method(scaled, history.start, state)
    rested = settle(paths, quantiles, resting_values(history, season, state.horizon), scaled)
    came = (truth[rows] - rested.centre[:, None]) / rested.scale[:, None]
    return _needed(quantiles.astype(float), came, state.levels)


def _needed(quantiles: Floats, came: Floats, levels: tuple[float, ...]) -> float:
    """Return the factor, as a logarithm, with which quantiles (n, h, q) cover what came as they say."""
    low, middle, high = (
        quantiles[:, :, int(np.abs(np.asarray(levels) - at).argmin())] for at in (INTERVAL[0], 0.5, INTERVAL[1])
    )
    miss, near = came - middle, SAME * np.maximum(high - low, np.abs(came))
    moved = (np.abs(miss) > near) & (np.abs(came - low) > near) & (np.abs(came - high) > near)
    side = np.where(miss > 0, high - middle, middle - low)
    reach = np.abs(miss) / np.maximum(side, LEAST_SIDE * (high - low).mean(axis=1, keepdims=True) + 1e-12)
    return float(np.log(np.clip(np.quantile(reach[moved], COVERED), 0.5, 2.0))) if moved.sum() > 50 else 0.0
