"""Seasons that are no day, as a batch every 500 minutes: found in the series and confirmed on its end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator

import numpy as np

from tasks.forecast.batch import Floats, Ints
from tasks.forecast.fleet.prepare import PLAUSIBLE_MAGNITUDE

SHORTEST_STEPS = 12
FEWEST_CYCLES = 6
LEAST_CORRELATION = 0.5
AHEAD_OF_DAY = 0.2
"""By how much the correlation one season apart must exceed that one day apart."""

CONFIRMED_RATIO = 0.6
"""Of the error of the same time on the days before, on the held-back end, that the season may leave."""

PART_OF_DAY_STEPS = 3
PROFILE_CYCLES = 3
BLOCK_SERIES = 128


def find_other_seasons(values: Floats, day: int, but: Collection[int] = ()) -> dict[int, Ints]:
    """Return the rows of histories (n, t), NaN where missing, that follow a season other than the day, by its steps.

    A peak of the autocorrelation proposes it; what it foretells of the last day, which did not propose it, must err far
    less than what the days before foretell. A day's own parts and multiples are none. Rows in `but` are left out.
    """
    t = values.shape[1]
    longest = t // FEWEST_CYCLES
    if day <= 1 or t < 4 * day or longest <= SHORTEST_STEPS:
        return {}
    with np.errstate(invalid="ignore"):
        rows = np.flatnonzero((np.abs(values) <= PLAUSIBLE_MAGNITUDE).all(axis=1))
    rows = np.setdiff1d(rows, list(but))
    found: defaultdict[int, list[int]] = defaultdict(list)
    for block in np.array_split(rows, -(-len(rows) // BLOCK_SERIES)) if len(rows) else ():
        for place, period in _proposed(values[block, : t - day], day, longest):
            row = int(block[place])
            if _error(values[row], period, day) < CONFIRMED_RATIO * _error(values[row], day, day):
                found[period].append(row)
    return {period: np.array(members, dtype=np.intp) for period, members in sorted(found.items())}


def _proposed(known: Floats, day: int, longest: int) -> Iterator[tuple[int, int]]:
    """Yield places of histories (n, t) that are far more like themselves some lag ago than a day ago, and the lag."""
    correlation = _autocorrelation(known, max(longest + 1, day))
    lags = np.arange(SHORTEST_STEPS, longest + 1)
    longer, shorter = np.maximum(lags, day), np.minimum(lags, day)
    is_day = np.abs(longer - np.round(longer / shorter) * shorter) <= PART_OF_DAY_STEPS
    inner = correlation[:, lags]
    is_peak = (inner >= correlation[:, lags - 1]) & (inner >= correlation[:, lags + 1]) & ~is_day
    height = np.where(is_peak, inner, -1.0)
    top = height.max(axis=1)
    of_day = correlation[:, day] if day <= longest + 1 else np.zeros(len(known))
    for place in np.flatnonzero((top >= LEAST_CORRELATION) & (top >= of_day + AHEAD_OF_DAY)).tolist():
        # The shortest of the peaks that are nearly as high: the others are its multiples.
        first = int(np.flatnonzero(height[place] >= 0.95 * top[place])[0])
        yield place, int(lags[first + int(height[place, first : first + 1 + lags[first] // 10].argmax())])


def _autocorrelation(values: Floats, longest: int) -> Floats:
    """Return the autocorrelation (n, longest + 1) of histories (n, t), each lag by as many products as it has."""
    from scipy.fft import irfft, next_fast_len, rfft  # the facade shows forecasts, and makes none

    t = values.shape[1]
    moves = values - values.mean(axis=1, keepdims=True)
    moves /= np.maximum(np.abs(moves).max(axis=1, keepdims=True), 1e-300)
    size = next_fast_len(t + longest, real=True)
    spectrum = rfft(moves.astype(np.float32), size)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.complex64)
    products = irfft(power, size)[:, : longest + 1].astype(float) * (t / (t - np.arange(longest + 1)))
    return np.asarray(products / np.maximum(products[:, :1], 1e-300))


def _error(values: Floats, period: int, held_back: int) -> float:
    """Mean absolute error on the last `held_back` steps of the mean of the last cycles before them at their phase."""
    end = len(values) - held_back
    cycles = [values[end - number * period : end - (number - 1) * period] for number in range(1, PROFILE_CYCLES + 1)]
    profile = np.mean(cycles, axis=0)
    return float(np.abs(values[end:] - profile[np.arange(held_back) % period]).mean())
