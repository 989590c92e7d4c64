"""Series that rest on one value: counters on 0, pools that are full, replicas on 3.

A model of means foretells a value a hair beside the one such a series rests on, or the echo of a burst of yesterday,
and then every bound on that value is as good as crossed. So what lies nearer to it than half a usual departure is laid
on it; bursts are larger and stay. At hours at which it was usually away, as by day of what rests by night, the small
departures of mornings are the usual ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tasks.forecast.batch import Bools, Float32s, Floats
from tasks.forecast.fleet.prepare import History, Scaled, smoothed_by_clock

LEAST_STILL = 0.2  # share of steps without a change; others cannot rest for as long as it takes
LEAST_SHARE = 0.4  # of the time on one value; what is met more seldom is one of the values of a grid
NEAR_SHARE = 0.5  # of the mean departure
USUAL_LEVEL = 0.9  # larger departures count as this quantile: one spike must not swallow the bursts
SMALL_LEVEL = 0.05  # quantile of the departures that is usual where it is away by the clock: a mean is that of noon
HOURS = 24  # of a season: steps shorter than an hour count with those around them
LEAST_SEASONS = 2  # seasons of which a step of the season is to be known; bursts fell on any step once
AWAY_SHARE = 0.75  # of the seasons, away at a step: it is so by the clock and not by chance


@dataclass(frozen=True)
class RestingValue:
    """The value on which one series rests, and how far from it is as good as on it, in the units of the series."""

    row: int
    value: float
    near: Floats  # (h,) per step ahead


def resting_values(history: History, season: int, horizon: int) -> list[RestingValue]:
    """Return the series that rest; those that never move or follow a trend do not count."""
    raw, t = history.raw, history.raw.shape[1]
    since = np.minimum(history.start, t - 1)
    inside = np.arange(t - 1) >= since[:, None]
    still = ((raw[:, 1:] == raw[:, :-1]) & inside).sum(axis=1) / np.maximum(t - 1 - since, 1)
    moving = (raw.max(axis=1) > raw.min(axis=1)) & (history.slope == 0)
    found = (
        _resting(row, raw[row, since[row] :], season, horizon)
        for row in np.flatnonzero(moving & (still >= LEAST_STILL)).tolist()
    )
    return [each for each in found if each is not None]


def _resting(row: int, values: Floats, season: int, horizon: int) -> RestingValue | None:
    seen, counts = np.unique(values, return_counts=True)
    most = int(counts.argmax())
    departures = np.abs(values - seen[most])
    away = departures[departures > 0]
    if counts[most] < LEAST_SHARE * len(values) or not len(away):
        return None
    usual = np.minimum(away, np.quantile(away, USUAL_LEVEL)).mean()
    small = np.quantile(away, SMALL_LEVEL)
    near = np.where(_away_by_the_clock(departures > 0, season, horizon), small, usual)
    return RestingValue(row, float(seen[most]), NEAR_SHARE * near)


def _away_by_the_clock(away: Bools, season: int, horizon: int) -> Bools:
    """Tell of each step ahead (horizon,) whether the series was away around that step in most of its seasons."""
    count = len(away) // season
    if count < LEAST_SEASONS:
        return np.zeros(horizon, dtype=bool)
    share = away[len(away) - count * season :].reshape(count, season).mean(axis=0)
    smooth = smoothed_by_clock(share, season // HOURS // 2)
    return np.asarray(smooth[np.arange(horizon) % season] > AWAY_SHARE)


def settle(paths: Float32s, quantiles: Float32s, resting: list[RestingValue], scaled: Scaled) -> Scaled:
    """Lay what is near a resting value on it: paths (n, s, h) and quantiles (n, h, q) in path units, in place.

    Return the units they are in then. A resting value is the centre of its series, so that what lies on it is exactly
    that value in the units of the series.
    """
    centre = scaled.centre.copy()
    for each in resting:
        at = np.float32((each.value - centre[each.row]) / scaled.scale[each.row])
        near = each.near / scaled.scale[each.row]
        for values, bound in ((paths[each.row], near), (quantiles[each.row], near[:, None])):
            values -= at
            values[np.abs(values) <= bound] = 0
        centre[each.row] = each.value
    return replace(scaled, centre=centre)
