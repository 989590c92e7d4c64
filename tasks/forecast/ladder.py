"""Which method the history of each series allows, and what to tell about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.forecast.prepare import MIN_USABLE_POINTS, History, Ints
from tasks.forecast.seasonal import first_origin

SEASONAL_CYCLES = 4.0
POOLED_CYCLES = 1.2
FILLED_SHARE_TO_WARN = 0.2
Names = NDArray[np.str_]


def rungs(history: History, season: int, horizon: int) -> Names:
    """The rung each series stands on: refused, constant, short, pooled or seasonal.

    `pooled` (1.2 to 4 cycles, or too little history behind the horizon to measure errors) uses the
    coefficients of the fleet as they are; `seasonal` has its own, shrunk toward them.
    """
    t = history.raw.shape[1]
    span = t - history.start
    seasonal = (span >= SEASONAL_CYCLES * season) & (t - 1 - horizon >= first_origin(season))
    pooled = span >= POOLED_CYCLES * season
    rung = np.where(seasonal, "seasonal", np.where(pooled, "pooled", "short"))
    if season == 1:
        rung = np.full(len(rung), "short", dtype=rung.dtype)
    rung = np.where(constant(history), "constant", rung)
    return np.where(history.usable < MIN_USABLE_POINTS, "refused", rung)


def constant(history: History) -> NDArray[np.bool_]:
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
    return Labels(_methods(rung, history), _warnings(history), _refusals(history))


def _refusals(history: History) -> tuple[str | None, ...]:
    """Why a series is not forecast; None where it is."""
    return tuple(
        None if usable >= MIN_USABLE_POINTS else f"{usable} usable points; a forecast needs {MIN_USABLE_POINTS}"
        for usable in history.usable.tolist()
    )


def _methods(rung: Names, history: History) -> tuple[str, ...]:
    """The rung by name, with `trending` for series whose steady trend was taken out."""
    trending = (history.slope != 0) & np.isin(rung, ("seasonal", "pooled"))
    return tuple(f"{name} trending" if moved else str(name) for name, moved in zip(rung, trending, strict=True))


def _warnings(history: History) -> tuple[tuple[str, ...], ...]:
    """What a reader of the forecast should know about the history of each series."""
    t = history.raw.shape[1]
    notes = []
    for start, filled, wild in zip(
        history.start.tolist(), history.filled.tolist(), history.implausible.tolist(), strict=True
    ):
        note = []
        if wild:
            note.append(f"{wild} infinite or implausibly large values treated as missing")
        if filled > FILLED_SHARE_TO_WARN * max(t - start, 1):
            note.append(f"{filled / max(t - start, 1):.0%} of the history are filled gaps")
        notes.append(tuple(note))
    return tuple(notes)


def eligible(values: NDArray[np.float64], season: int, horizon: int) -> Ints:
    """Rows with enough cycles to teach the fleet, in an order that depends on their content alone.

    The order makes any first part of it a fair sample that does not change when the batch is permuted.
    """
    t = values.shape[1]
    if season == 1 or t - 1 - horizon < first_origin(season):
        return np.empty(0, dtype=np.intp)
    finite = np.isfinite(values)
    start = np.where(finite.any(axis=1), finite.argmax(axis=1), t)
    usable = finite.sum(axis=1)
    rows = np.flatnonzero((t - start >= SEASONAL_CYCLES * season) & (usable >= MIN_USABLE_POINTS))
    return np.asarray(rows[np.argsort(_content_hash(values[rows]), kind="stable")])


def _content_hash(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """A number per row that depends on all its bits."""
    odd = 2 * np.arange(values.shape[1], dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = np.ascontiguousarray(values).view(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * odd
    return np.asarray((mixed ^ (mixed >> np.uint64(32))).sum(axis=1, dtype=np.uint64))
