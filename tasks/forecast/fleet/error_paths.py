"""Sample paths: what the model missed at past origins, laid on today's prediction, and raw past windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.forecast.batch import Bools, Float32s, Floats, Ints
from tasks.forecast.fleet.prepare import History, Real, Scaled
from tasks.forecast.fleet.seasonal import windows

RAW_CYCLES = 6
SCALE_CYCLES = 6
SCALE_FLOOR = 0.3
PLATEAU_SHARE = 0.02
YOUNG_REACH = 30.0  # ranges; a few points say little about how far a series goes
YOUNG_PLATEAU_SHARE, LEAST_VISITS = 0.2, 4  # of a young series' time at a bound, and how often it came to it
LEAST_YOUNG_STEPS = 100  # fewer do not tell a bound from the highest so far
PLATEAU_SPREAD = 0.25  # of the history between the first and the last visit
# A value met before must not lie beyond itself after a round trip through single precision.
TOWARD_CENTRE = np.float32(1 - 2.0**-22)


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
    now = np.sqrt(scale)
    then = np.concatenate([1 / now, 1 / now], axis=1)
    phase = (origins + 1 - length) % season
    errors *= windows(then, phase - 1, horizon, season)
    errors *= now[:, None, np.arange(horizon) % season]
    return errors


def raw_windows(raw: Float32s, season: int, horizon: int, count: int) -> Float32s:
    """`count` past windows (n, count, h) that begin at the phase of the forecast, the newest six in turn."""
    t = raw.shape[1]
    past = 1 + np.arange(count) % max(1, min(RAW_CYCLES, t // season - 1))
    origins = t - 1 - past * season
    if horizon <= season:
        return windows(raw, origins, horizon, season) * TOWARD_CENTRE
    whole = origins[:, None] + 1 + np.arange(horizon)[None, :]
    steps = np.where(whole < t, whole, (whole - t) % season + t - season)
    return np.asarray(raw[:, steps] * TOWARD_CENTRE)


@dataclass(frozen=True)
class Bounds:
    """Where the paths of n series end, in the units of the series, shape (n, h)."""

    low: Floats
    high: Floats

    def cut_paths(self, paths: Float32s, scaled: Scaled) -> Float32s:
        """Cut scaled paths (n, s, h) in place, just inside so that none lies beyond after rounding."""
        centre, scale = scaled.centre[:, None], scaled.scale[:, None]
        low, high = (
            np.clip((bound - centre) / scale * TOWARD_CENTRE, -1e30, 1e30).astype(np.float32)
            for bound in (self.low, self.high)
        )
        return _cut(paths, low[:, None], high[:, None])

    def cut_quantiles(self, quantiles: Floats) -> Floats:
        """Cut quantiles (n, h, q) in the units of the series in place."""
        return _cut(quantiles, self.low[:, :, None], self.high[:, :, None])


def _cut(values: NDArray[Real], low: NDArray[Real], high: NDArray[Real]) -> NDArray[Real]:
    """`np.clip` in place: for bounds that are arrays it takes three times as long as its two halves."""
    return np.asarray(np.minimum(np.maximum(values, low, out=values), high, out=values))


def bounds(history: History, horizon: int, young: Bools) -> Bounds:
    """One range of the history beyond its extremes, along its trend; closer where it shows a hard bound.

    A series never below 0 stays so. One that sat exactly at its maximum (or minimum) for 2 % of the time, on
    days at least two cycles apart, has met a bound there. So has a young one that was there more often than on any
    other value, and came back to it: counts without a bound are seldom at the most that was seen of them.
    """
    low, high = history.raw.min(axis=1), history.raw.max(axis=1)
    moves = history.slope[:, None] * np.arange(1, horizon + 1)
    reach = np.where(high > low, high - low, np.abs(high))
    reach = np.where(young, YOUNG_REACH, 1.0) * reach
    floor = np.where(_is_bound(history, low, young), low, low - reach)[:, None] + moves
    ceiling = np.where(_is_bound(history, high, young), high, high + reach)[:, None] + moves
    floor = np.where(history.never_below_zero[:, None], np.maximum(floor, 0), floor)
    return Bounds(floor, np.maximum(ceiling, floor))


def _is_bound(history: History, extreme: Floats, young: Bools) -> Bools:
    """Tell of each series (n,) whether it has met a bound at its maximum, or minimum."""
    found = _plateau(history, extreme)
    for row in np.flatnonzero(found & young).tolist():
        values = history.raw[row, min(int(history.start[row]), history.raw.shape[1] - 1) :]
        there, (_, counts) = values == extreme[row], np.unique(values, return_counts=True)
        visits = np.count_nonzero(there[1:] & ~there[:-1]) + there[0]
        is_often = visits >= LEAST_VISITS and there.sum() >= max(counts.max(), YOUNG_PLATEAU_SHARE * len(there))
        found[row] = is_often and len(there) >= LEAST_YOUNG_STEPS
    return found


def _plateau(history: History, extreme: Floats) -> Bools:
    """Whether the series keeps coming back to this value and rests exactly there."""
    moving = (history.slope == 0) & (history.raw.max(axis=1) > history.raw.min(axis=1))
    there = history.raw == extreme[:, None]
    t = there.shape[1]
    first, last = there.argmax(axis=1), t - 1 - there[:, ::-1].argmax(axis=1)
    rests = (there.mean(axis=1) >= PLATEAU_SHARE) & (last - first >= PLATEAU_SPREAD * t)
    return np.asarray(rests & moving)
