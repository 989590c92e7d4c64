"""When a growing series reaches a bound: a robust trend with an interval of the date."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from storage.records import FloatArray
from tasks.goals.evidence import ObservedWindow
from tasks.goals.statistics.measures import Side, toward
from tasks.special import ndtr, ndtri

_MIN_BLOCKS = 8
_MAX_BLOCKS = 96
_RESET_RATIO = 0.3
_MIN_TEETH = 4
_REACH_RATIO = 3.0
_CONFIDENCE = 0.9
_PEAK = 0.9


@dataclass(frozen=True)
class Trend:
    """A trend toward a bound, oriented so that growth is toward it.

    `gap` is how far the bound still is, `growth_per_s` the closing speed with its standard error; `span_s` how much
    history speaks for it, and `reach_ratio` how many times as far ahead it is believed. Times are seconds from now, inf
    where the bound is never reached.
    """

    gap: float
    growth_per_s: float
    standard_error: float
    span_s: float
    n_blocks: int
    reach_ratio: float = _REACH_RATIO

    @property
    def reach_s(self) -> float:
        """Return how far ahead this much history can be believed: three times its own length, unless told otherwise."""
        return self.reach_ratio * self.span_s

    def probability(self, horizon_s: float) -> float:
        """Return the chance that the bound is reached within a horizon and within reach."""
        ahead_s = min(horizon_s, self.reach_s)
        if self.gap <= 0:
            return 1.0
        needed = self.gap / ahead_s
        if self.standard_error <= 0:
            return float(self.growth_per_s >= needed)
        return ndtr((self.growth_per_s - needed) / self.standard_error)

    def date_s(self, quantile: float = 0.5) -> float:
        """Return a quantile of the time until the bound is reached: .5 for the middle, .05 for the earliest."""
        growth = self.growth_per_s - ndtri(quantile) * self.standard_error
        if self.gap <= 0:
            return 0.0
        return self.gap / growth if growth > 0 else np.inf


def trend_of(window: ObservedWindow, bound: float, side: Side) -> Trend | None:
    """Return the trend of a series toward a bound; None where too little is known or it fills and empties.

    Theil-Sen on means of equal blocks (days, where there are eight of them, so that the time of day cannot pass for a
    trend); the interval is widened for the residuals' autocorrelation (Sen 1968, "Estimates of the regression
    coefficient based on Kendall's tau"; Bayley and Hammersley 1946 for the effective number). Resets, as of a disk that
    is pruned, are looked for first: with four teeth or more it is their peaks that must grow.
    """
    blocks, block_s = blocks_of(window)
    if len(blocks) < _MIN_BLOCKS:
        return None
    levels = toward(blocks[:, 1], bound, side)
    times_s = blocks[:, 0] * block_s
    resets = resets_in(levels)
    if len(resets) >= 2:
        return _trend_of_peaks(times_s, levels, resets)
    if len(resets) == 1:
        times_s, levels = times_s[resets[0] :], levels[resets[0] :]
    if len(levels) < _MIN_BLOCKS:
        return None
    return _fit(times_s, levels, _values_since(window, float(times_s[0]), bound, side))


def blocks_of(window: ObservedWindow) -> tuple[FloatArray, float]:
    """Return (n, 2) block numbers and means of the recorded blocks, newest last and numbered 0, and their length.

    Days where the window holds eight of them, else at most 96 blocks.
    """
    day = round(86_400 / window.step_s)
    recorded = np.flatnonzero(np.isfinite(window.values))
    if len(recorded) == 0:
        return np.empty((0, 2)), window.step_s
    values = window.values[recorded[0] :]
    size = day if len(values) >= _MIN_BLOCKS * day else max(1, -(-len(values) // _MAX_BLOCKS))
    count = len(values) // size
    grid = values[len(values) - count * size :].reshape(count, size)
    held = np.isfinite(grid).sum(axis=1)
    means = np.where(held > 0, np.nansum(grid, axis=1) / np.maximum(held, 1), np.nan)
    numbered = np.stack([np.arange(count) - count + 1.0, means], axis=1)
    return numbered[np.isfinite(means)], size * window.step_s


def resets_in(levels: FloatArray) -> list[int]:
    """Return where a series starts anew: the lowest position of each fall by 30 % of its range or more.

    A fall ends where the series has climbed back by 15 % of the range.
    """
    scale = float(np.ptp(levels))
    if scale <= 0:
        return []
    starts: list[int] = []
    peak, trough = 0, 0
    for position, level in enumerate(levels):
        if level <= levels[trough]:
            trough = position
        climbed = level - levels[trough] >= 0.5 * _RESET_RATIO * scale
        is_fall = levels[peak] - levels[trough] >= _RESET_RATIO * scale
        if is_fall and (climbed or position == len(levels) - 1):
            starts.append(trough)
            peak = trough = position
        if level > levels[peak]:
            peak = trough = position
    return starts


def _trend_of_peaks(times_s: FloatArray, levels: FloatArray, resets: list[int]) -> Trend | None:
    edges = [0, *resets, len(levels)]
    teeth = [(a, b) for a, b in itertools.pairwise(edges) if b > a]
    if len(teeth) < _MIN_TEETH:
        return None
    tops = [a + int(np.argmax(levels[a:b])) for a, b in teeth[:-1]]
    return _fit(times_s[tops], levels[tops])


def _fit(times_s: FloatArray, levels: FloatArray, around: tuple[FloatArray, FloatArray] | None = None) -> Trend:
    """Fit a line and raise it to the upper edge of the values `around` it: peaks hit the bound, not means."""
    # Imported here: a second that only a cycle with a trend to fit should pay.
    from scipy.stats import theilslopes

    slope, intercept, low, high = theilslopes(levels, times_s, alpha=_CONFIDENCE)
    residuals = levels - (intercept + slope * times_s)
    half = (high - low) / 2 / ndtri((1 + _CONFIDENCE) / 2)
    lift = 0.0
    if around is not None:
        lift = max(0.0, float(np.quantile(around[1] - (intercept + slope * around[0]), _PEAK)))
    return Trend(
        gap=-float(intercept + lift),
        growth_per_s=float(slope),
        standard_error=float(half) * _inflation(residuals),
        span_s=float(times_s[-1] - times_s[0]),
        n_blocks=len(levels),
    )


def _inflation(residuals: FloatArray) -> float:
    power = float(residuals @ residuals)
    if power <= 1e-24 or len(residuals) < 4:
        return 1.0
    r1 = float(np.clip(residuals[1:] @ residuals[:-1] / power, 0.0, 0.95))
    return float(np.sqrt((1 + r1) / (1 - r1)))


def _values_since(window: ObservedWindow, start_s: float, bound: float, side: Side) -> tuple[FloatArray, FloatArray]:
    """Return times (seconds from now) and oriented values of what was recorded since a moment."""
    times_s: FloatArray = (np.arange(len(window.values), dtype=np.float64) - len(window.values) + 1) * window.step_s
    is_inside = np.isfinite(window.values) & (times_s >= start_s)
    return times_s[is_inside], toward(window.values[is_inside], bound, side)
