"""What followed those past days of a series that ended as today does: the nearest ones in a mixture."""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Float32s

LEVEL_STEPS = 3
SHARPNESS = 4.0  # a day twice as far away, in squares, counts a sixteenth
SAME_WEEKDAY = 0.5  # of its distance, for a day whole weeks ago
SMALL_DISTANCE = 1e-4
LARGEST_VALUE = 50.0


def analog_course(values: Float32s, season: int, week: int, horizon: int) -> Float32s:
    """Course (n, horizon) after the last step of `values` (n, t): what followed the same hour of past days.

    Days are compared over one season, each relative to its last three steps, and what followed is laid on the last
    three of today.
    """
    values = np.clip(values, -LARGEST_VALUE, LARGEST_VALUE)
    t = values.shape[1]
    ends = np.arange(t - season * -(-horizon // season), season + LEVEL_STEPS, -season)
    ago = t - ends
    days = np.stack([values[:, end - season : end + horizon] - _level(values, end) for end in ends.tolist()], axis=1)
    today = values[:, None, t - season :] - _level(values, t)[:, None]
    distance = ((days[:, :, :season] - today) ** 2).mean(axis=2)
    distance *= np.where(ago % week == 0, SAME_WEEKDAY, 1.0).astype(np.float32)
    distance += np.float32(SMALL_DISTANCE)
    weight = (distance / distance.min(axis=1, keepdims=True)) ** -SHARPNESS
    weight /= weight.sum(axis=1, keepdims=True)
    return np.asarray((weight[:, None] @ days[:, :, season:])[:, 0] + _level(values, t))


def _level(values: Float32s, end: int) -> Float32s:
    return np.asarray(values[:, end - LEVEL_STEPS : end].mean(axis=1, keepdims=True))
