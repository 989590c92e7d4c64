"""A second opinion for series of few steps a day: ridge regression of each horizon step on lags, with a pooled prior.

Every step ahead is regressed on the last day and on the same stretch of the week before, relative to the mean of the
last day. Each series has its own coefficients, shrunk toward those of the fleet: alone they would overfit, and the
fleet's alone fit no one. Mixed into the fleet model's course it lowers the error of hourly series by 1 to 3 %.
"""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Float32s, Floats
from tasks.forecast.coefficients import FIXED_POINT, FIXED_POINT_LIMIT
from tasks.forecast.prepare import Ints
from tasks.forecast.seasonal import Seasonal

LONGEST_SEASON = 48  # steps a day; the cost grows with its cube
LEAST_WEEKS = 3
ORIGIN_STRIDE = 2
SHRINKAGE = 0.15
PRIOR_RIDGE = 1e-3
LARGEST_VALUE = 50.0


def serves(arrays: Seasonal) -> bool:
    """Whether histories are long and days short enough for it."""
    return (
        arrays.week is not None
        and arrays.season <= LONGEST_SEASON
        and arrays.values.shape[1] >= LEAST_WEEKS * arrays.week
    )


def pooled_lags(arrays: Seasonal, horizon: int) -> Floats:
    """Coefficients (lags, steps) of one regression over all series."""
    inputs, targets, _, _ = _design(arrays, horizon)
    square, cross = _products(inputs, targets)
    unit = FIXED_POINT / inputs.shape[1]
    total_square, total_cross = (
        np.rint(np.clip(part * unit, -FIXED_POINT_LIMIT, FIXED_POINT_LIMIT)).astype(np.int64).sum(axis=0) / FIXED_POINT
        for part in (square.astype(float), cross.astype(float))
    )
    count = len(total_square)
    penalty = (PRIOR_RIDGE * np.trace(total_square) / count + 1e-9) * np.eye(count)
    return np.asarray(np.linalg.solve(total_square + penalty, total_cross))


def lag_course(arrays: Seasonal, pooled: Floats, horizon: int) -> Float32s:
    """Forecast (n, steps) of the first two days at most, from coefficients shrunk toward the `pooled` ones."""
    inputs, targets, latest, level = _design(arrays, horizon)
    square, cross = _products(inputs, targets)
    count, prior = square.shape[1], pooled.astype(np.float32)
    penalty = SHRINKAGE * np.trace(square, axis1=1, axis2=2) / count + np.float32(1e-6)
    left = square + penalty[:, None, None].astype(np.float32) * np.eye(count, dtype=np.float32)
    fitted = np.linalg.solve(left, cross + penalty[:, None, None].astype(np.float32) * prior)
    return np.asarray((latest[:, None] @ fitted)[:, 0] + level[:, None])


def _products(inputs: Float32s, targets: Float32s) -> tuple[Float32s, Float32s]:
    across = inputs.transpose(0, 2, 1)
    return across @ inputs, across @ targets


def _lags(arrays: Seasonal, horizon: int) -> tuple[Ints, int]:
    """Steps back from the origin that are read, and how many steps ahead are foretold."""
    week = arrays.week or arrays.season
    steps = min(horizon, 2 * arrays.season)
    return np.concatenate([np.arange(arrays.season), np.arange(week - steps, week)]), steps


def _design(arrays: Seasonal, horizon: int) -> tuple[Float32s, Float32s, Float32s, Float32s]:
    """Inputs (n, origins, lags) and targets (n, origins, steps) of the past, inputs (n, lags) and level (n,) of now."""
    lags, steps = _lags(arrays, horizon)
    values = np.clip(arrays.values, -LARGEST_VALUE, LARGEST_VALUE)
    t = values.shape[1]
    origins = np.arange(t - 1 - steps, int(lags.max()) - 1, -ORIGIN_STRIDE)[::-1]
    level = np.clip(arrays.cycle, -LARGEST_VALUE, LARGEST_VALUE)
    then = level[:, origins, None]
    inputs = values[:, origins[:, None] - lags[None, :]] - then
    targets = values[:, origins[:, None] + np.arange(1, steps + 1)[None, :]] - then
    return inputs, targets, values[:, t - 1 - lags] - level[:, -1:], level[:, -1]
