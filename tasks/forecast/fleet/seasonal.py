"""Seasonal base and features: all the fleet model knows of a series at an origin, as running arrays.

A value at the same phase j cycles before step o+k depends on o+k alone, so base, lags and levels are
computed once per series along time and read as windows at every origin. Nothing read at an origin o looks
beyond o.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tasks.forecast.batch import Float32s, Floats, Ints
from tasks.forecast.fleet.prepare import network_median

BASE_CYCLES = 7
BASE_DECAY = 0.8
WEEKS = 4
WEEK_DECAY = 2 / 3
LEVEL_STEPS = 3
FEATURES = ("naive", "curvature", "cycle", "level", "last", "hours", "week")


@dataclass(frozen=True)
class Seasonal:
    """Running arrays of n series over t steps; `base` and `curvature` reach one season past the end."""

    season: int
    week: int | None  # None: less than two weeks of history, or no weekly season
    values: Float32s  # (n, t)
    base: Float32s  # (n, t + season): typical value at the same phase of up to 7 past cycles
    curvature: Float32s  # (n, t + season): second difference one season before
    level: Float32s  # (n, t): mean of the last 6 − base's mean over the same steps
    last: Float32s  # (n, t): last value − mean of the last 6
    cycle: Float32s  # (n, t): mean of the last cycle
    hours: Float32s  # (n, t): mean of the last half cycle − base's mean over the same steps
    weekly: Float32s  # (n, t + week): mean of the same step of past weeks, the newest first; (n, 0) without a week

    @property
    def feature_count(self) -> int:
        return len(FEATURES) if self.week else len(FEATURES) - 1

    def take(self, rows: Ints) -> Seasonal:
        along_time = {
            field.name: getattr(self, field.name)[rows]
            for field in fields(self)
            if field.name not in ("season", "week")
        }
        return replace(self, **along_time)


def seasonal_arrays(values: Float32s, season: int, week: int | None, horizon: int) -> Seasonal:
    """Running arrays of scaled histories (n, t); a weekly lag where two weeks and half the horizon fit."""
    n, t = values.shape
    week = week if week and t >= 2 * week + horizon // 2 else None
    sums = np.zeros((n, t + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    recent, cycle = _running_mean(sums, LEVEL_STEPS), _running_mean(sums, season)
    hours = _running_mean(sums, max(season // 2, 1))
    return Seasonal(
        season=season,
        week=week,
        values=values,
        # The mean follows a drifting level, the median ignores last week's incident: half of each.
        base=np.float32(0.5) * (_same_phase_mean(values, season) + _same_phase_median(values, season)),
        curvature=_curvature_before(values, season),
        level=recent - _same_phase_mean(recent, season)[:, :t],
        last=values - recent,
        cycle=cycle,
        hours=hours - _same_phase_mean(hours, season)[:, :t],
        weekly=_same_phase_mean(values, week, WEEKS, WEEK_DECAY) if week else np.empty((n, 0), dtype=np.float32),
    )


def first_origin(season: int) -> int:
    """Earliest origin with a full cycle behind every feature."""
    return 2 * season + LEVEL_STEPS


def windows(along_time: Float32s, origins: Ints, horizon: int, season: int) -> Float32s:
    """Steps o+1 … o+horizon of a running array for each origin o, shape (n, origins, horizon).

    Beyond one season the first cycle repeats, since its values are the last ones known at the origin. For evenly
    spaced origins the result is a view, which saves most of the time of a prediction.
    """
    length = min(horizon, season)
    stride = int(origins[1] - origins[0]) if len(origins) > 1 else 1
    if stride > 0 and len(origins) and (np.diff(origins) == stride).all():
        window = _evenly(along_time, int(origins[0]) + 1, stride, len(origins), length)
    else:
        window = sliding_window_view(along_time, length, axis=1)[:, origins + 1]
    repeats = -(-horizon // length)
    return window if repeats == 1 else np.tile(window, (1, 1, repeats))[:, :, :horizon]


def _evenly(along_time: Float32s, first: int, stride: int, count: int, length: int) -> Float32s:
    """`count` windows of a running array that begin `stride` steps apart, as a view; what numpy's own costs is time."""
    last = first + stride * (count - 1) + length
    if first < 0 or last > along_time.shape[1]:
        raise IndexError(f"windows reach from step {first} to {last} of {along_time.shape[1]}")
    dense = np.ascontiguousarray(along_time)
    by_row, by_step = dense.strides
    shape, strides = (len(dense), count, length), (by_row, stride * by_step, by_step)
    return np.ndarray(shape, dense.dtype, dense, first * by_step, strides)


def features_at(arrays: Seasonal, origins: Ints, steps: Ints) -> tuple[Float32s, list[Float32s]]:
    """Base (n, k, o) and the features at horizon `steps` (from 1), each of a shape that broadcasts to it."""
    ahead = (steps - 1)[:, None]
    phase = origins + 1 + ahead % arrays.season
    now = origins[None]
    base = _read(arrays.base, phase)
    features = [
        _read(arrays.values, phase - arrays.season) - base,
        _read(arrays.curvature, phase) * _bend_known(steps, arrays.season)[:, None],
        _read(arrays.cycle, now) - base,
        _read(arrays.level, now),
        _read(arrays.last, now),
        _read(arrays.hours, now),
    ]
    if arrays.week:
        same = origins + 1 + ahead % arrays.week
        features.append(np.where(same >= arrays.week, _read(arrays.weekly, same) - base, np.float32(0)))
    return base, features


def predict(arrays: Seasonal, origins: Ints, by_step: Float32s) -> Float32s:
    """Predictions (n, o, h) from each origin, with coefficients (n, h, features) for each step.

    The features constant over the horizon go through one small matrix product a series; those that vary share
    the base, whose own weight is what they leave of 1.
    """
    season, horizon = arrays.season, by_step.shape[1]
    naive, curvature, cycle = (by_step[:, None, :, i] for i in range(3))
    curvature = curvature * _bend_known(np.arange(1, horizon + 1), season)
    running = (arrays.cycle, arrays.level, arrays.last, arrays.hours)
    constant = np.stack([_read(each, origins) for each in running], axis=2)
    predicted = constant @ np.ascontiguousarray(by_step[:, :, 2:6].transpose(0, 2, 1))
    before = np.concatenate([arrays.values[:, :season], arrays.values], axis=1)
    term = np.empty_like(predicted)
    predicted += np.multiply(windows(before, origins, horizon, season), naive, out=term)
    predicted += np.multiply(windows(arrays.curvature, origins, horizon, season), curvature, out=term)
    base = windows(arrays.base, origins, horizon, season)
    base_share = 1 - naive - cycle
    if arrays.week:
        has_week = origins[:, None] + 1 + np.arange(horizon) % arrays.week >= arrays.week
        weekly = by_step[:, None, :, 6] * has_week
        predicted += np.multiply(windows(arrays.weekly, origins, horizon, arrays.week), weekly, out=term)
        base_share = base_share - weekly
    predicted += np.multiply(base, base_share, out=term)
    return predicted


def _read(along_time: Float32s, steps: Ints) -> Float32s:
    """Values (n, …) at `steps`, laid out series by series; plain indexing would put the series last."""
    return np.take(along_time, steps, axis=1)


def _same_phase_mean(values: Float32s, season: int, cycles: int = BASE_CYCLES, decay: float = BASE_DECAY) -> Float32s:
    """Mean of up to so many values one season apart before each step, weighted by decay^j: (n, t + season)."""
    n, t = values.shape
    total = np.zeros((n, t + season), dtype=np.float32)
    weight = np.zeros(t + season, dtype=np.float32)
    for cycle in range(1, min(cycles, -(-t // season)) + 1):
        share = np.float32(decay ** (cycle - 1))
        later = slice(cycle * season, t + season)
        total[:, later] += share * values[:, : t - (cycle - 1) * season]
        weight[later] += share
    total[:, :season] = values[:, :season]
    weight[:season] = 1
    total /= weight
    return total


def _same_phase_median(values: Float32s, season: int) -> Float32s:
    """Median of up to 7 values one to seven seasons before each step, shape (n, t + season)."""
    n, t = values.shape
    result = np.empty((n, t + season), dtype=np.float32)
    result[:, :season] = values[:, :season]
    full = min(BASE_CYCLES * season, t + season)
    for begin in range(season, full, season):
        end = min(begin + season, full)
        cycles = range(1, begin // season + 1)
        result[:, begin:end] = network_median([values[:, begin - j * season : end - j * season] for j in cycles])
    if full < t + season:
        before = [values[:, full - j * season : t + season - j * season] for j in range(1, BASE_CYCLES + 1)]
        result[:, full:] = network_median(before)
    return result


def _curvature_before(values: Float32s, season: int) -> Float32s:
    """Second difference around the value one season before each step, shape (n, t + season)."""
    n = len(values)
    right = np.concatenate([values[:, 1:], values[:, -1:]], axis=1)
    left = np.concatenate([values[:, :1], values[:, :-1]], axis=1)
    bend = left - 2 * values + right
    return np.concatenate([np.zeros((n, season), dtype=np.float32), bend], axis=1)


def _bend_known(steps: Ints, season: int) -> Float32s:
    """1 where the right neighbour one season back is known at the origin, 0 at the last step of a season."""
    return np.asarray((steps % season != 0).astype(np.float32))


def _running_mean(sums: Floats, length: int) -> Float32s:
    """Mean of up to the last `length` values at each step, from cumulative sums that start with 0."""
    t = sums.shape[1] - 1
    mean = np.empty((len(sums), t), dtype=np.float32)
    head = min(length, t)
    mean[:, :head] = sums[:, 1 : head + 1] / np.arange(1, head + 1)
    mean[:, length:] = (sums[:, length + 1 :] - sums[:, 1 : t - length + 1]) / length
    return mean
