"""Which method the history of each series allows, and what to tell about it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tasks.forecast.batch import Bools, Floats, Ints
from tasks.forecast.fleet.prepare import MIN_USABLE_POINTS, PLAUSIBLE_MAGNITUDE, History
from tasks.forecast.fleet.seasonal import first_origin

SEASONAL_CYCLES = 4.0
POOLED_CYCLES = 1.2
OWN_HORIZONS = 3.5  # below, coefficients of its own and errors measured on itself flatter a series
MOST_FILLED = 0.99  # where one value was seen, not all is filled
FILLED_SHARE_TO_WARN = 0.2
ROWS_AT_A_TIME = 256
TRENDING = "trending"
Names = NDArray[np.str_]
Whole = TypeVar("Whole", np.intp, np.uint64)


def rungs(history: History, season: int, horizon: int) -> Names:
    """The rung each series stands on: refused, constant, short, pooled or seasonal.

    `pooled` (1.2 to 4 cycles, or too little history behind the horizon to measure errors) uses the
    coefficients of the fleet as they are; `seasonal` has its own, shrunk toward them.
    """
    t = history.raw.shape[1]
    span = t - history.start
    seasonal = (span >= SEASONAL_CYCLES * season) & has_own_errors(t, season, horizon)
    pooled = span >= POOLED_CYCLES * season
    rung = np.where(seasonal, "seasonal", np.where(pooled, "pooled", "short"))
    if season == 1:
        rung = np.full(len(rung), "short", dtype=rung.dtype)
    rung = np.where(constant(history), "constant", rung)
    return np.where(history.usable < MIN_USABLE_POINTS, "refused", rung)


def has_own_errors(length: int, season: int, horizon: int) -> bool:
    """Whether so much history lies behind a horizon that series have coefficients and errors of their own."""
    return length >= SEASONAL_CYCLES * season and independent_horizons(length, season, horizon) >= OWN_HORIZONS


def independent_horizons(length: int, season: int, horizon: int) -> float:
    """How many horizons side by side the origins of a history span; at most 0 if there is no origin."""
    return (length - 1 - horizon - first_origin(season)) / horizon + 1


def constant(history: History) -> Bools:
    """Series that never left one value by more than rounding."""
    extent = history.raw.max(axis=1) - history.raw.min(axis=1)
    return np.asarray(extent <= 1e-12 * np.abs(history.raw).max(axis=1))


@dataclass(frozen=True)
class Labels:
    """What is said of each series in words."""

    method: tuple[str, ...]
    warnings: tuple[tuple[str, ...], ...]
    refusals: tuple[str | None, ...]


def labels(rung: Names, history: History) -> Labels:
    return Labels(_methods(rung, history), _warnings(history), history.refusals)


def _methods(rung: Names, history: History) -> tuple[str, ...]:
    """The rung by name, with `trending` for series whose steady trend was taken out."""
    trending = (history.slope != 0) & np.isin(rung, ("seasonal", "pooled"))
    return tuple(f"{name} {TRENDING}" if moved else str(name) for name, moved in zip(rung, trending, strict=True))


def _warnings(history: History) -> tuple[tuple[str, ...], ...]:
    """What a reader of the forecast should know about the history of each series."""
    t = history.raw.shape[1]
    notes = []
    for start, filled in zip(history.start.tolist(), history.filled.tolist(), strict=True):
        share = filled / max(t - start, 1)
        warning = f"{min(share, MOST_FILLED):.0%} of the history is filled gaps"
        notes.append((warning,) if share > FILLED_SHARE_TO_WARN else ())
    return tuple(notes)


def wild_warnings(values: Floats) -> list[tuple[str, ...]]:
    """What to know about values that no arithmetic can hold: counted in all that was given, used or not."""
    counts = _by_rows(_implausible, values).tolist()
    return [(f"{n} infinite or implausibly large values were ignored",) if n else () for n in counts]


def _implausible(values: Floats) -> Ints:
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(values) > PLAUSIBLE_MAGNITUDE).sum(axis=1), dtype=np.intp)


def spans(values: Floats) -> Ints:
    """Steps from the first usable observation of each series to the end; 0 without any."""
    return _by_rows(_spans, values)


def _spans(values: Floats) -> Ints:
    with np.errstate(invalid="ignore"):
        usable = np.abs(values) <= PLAUSIBLE_MAGNITUDE
    if not values.shape[1]:
        return np.zeros(len(values), dtype=np.intp)
    return np.where(usable.any(axis=1), values.shape[1] - usable.argmax(axis=1), 0)


def lengths(values: Floats, season: int) -> Ints:
    """How many of the last steps each series is forecast from.

    All it has, down to a whole half cycle, so that series of like age share a block; those too short to show a
    season share one window just long enough for them.
    """
    t, span = values.shape[1], spans(values)
    if season == 1:
        return np.full(len(values), t, dtype=np.intp)
    window, half = min(t, math.ceil(POOLED_CYCLES * season)), max(season // 2, 1)
    rounded = np.where(span == t, t, span // half * half)
    for row in np.flatnonzero(rounded < span):
        # The few points of a series with many gaps must not be rounded away.
        if np.isfinite(values[row, t - rounded[row] :]).sum() < MIN_USABLE_POINTS:
            rounded[row] = span[row]
    shown = span >= POOLED_CYCLES * season
    return np.asarray(np.where(shown, np.maximum(rounded, window), window), dtype=np.intp)


def teachers(values: Floats, season: int, least: int) -> tuple[Ints, int]:
    """Rows with at least so many steps of history, to teach the fleet, and how many of the last ones they share.

    Eight of them, or a quarter, have that many. Their order depends on their content
    alone, so that any first part of it is a fair sample that does not change when the batch is permuted.
    """
    span = spans(values)
    enough = np.flatnonzero(span >= least)
    if season == 1 or not len(enough):
        return np.empty(0, dtype=np.intp), 0
    longest_first = np.sort(span[enough])[::-1]
    length = int(longest_first[min(max(7, len(enough) // 4), len(enough) - 1)])
    rows = np.flatnonzero(span >= length)
    order = np.argsort(_by_rows(_content_hash, values[rows, values.shape[1] - length :]), kind="stable")
    return rows[order], length


def least_to_teach(season: int, horizon: int) -> int:
    """Steps of history with four cycles and an origin with its whole horizon known."""
    return max(math.ceil(SEASONAL_CYCLES * season), first_origin(season) + 1 + horizon)


def _by_rows(measure: Callable[[Floats], NDArray[Whole]], values: Floats) -> NDArray[Whole]:
    """A measure of each row, taken some rows at a time so that its temporaries stay small."""
    firsts = range(0, max(len(values), 1), ROWS_AT_A_TIME)
    return np.concatenate([measure(values[first : first + ROWS_AT_A_TIME]) for first in firsts])


def _content_hash(values: Floats) -> NDArray[np.uint64]:
    """A number per row that depends on all its bits."""
    odd = 2 * np.arange(values.shape[1], dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = np.ascontiguousarray(values).view(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * odd
    return np.asarray((mixed ^ (mixed >> np.uint64(32))).sum(axis=1, dtype=np.uint64))
