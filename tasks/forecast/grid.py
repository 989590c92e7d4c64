"""Snap irregular samples onto one regular grid shared by all series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.forecast.batch import Bools, Floats
from tasks.forecast.prepare import PLAUSIBLE_MAGNITUDE, fill_gaps


@dataclass(frozen=True)
class Grid:
    """Values (n, t) on regular steps ending at one time, NaN where nothing was observed."""

    values: Floats
    end_s: float  # time of the last step, seconds since the epoch
    step_s: float

    @property
    def observed(self) -> Bools:
        return np.isfinite(self.values)

    def filled(self, season: int) -> tuple[Floats, Bools]:
        """Values with gaps filled as `fill_gaps` does, and the mask (n, t) of what was filled."""
        with np.errstate(invalid="ignore"):
            observed = np.abs(self.values) <= PLAUSIBLE_MAGNITUDE
        return fill_gaps(self.values, observed, season), ~observed


def snap(
    timestamps: Sequence[NDArray[Any]],
    values: Sequence[NDArray[Any]],
    *,
    step_s: float,
    n_steps: int,
    end_s: float,
) -> Grid:
    """Put the samples of each series on a grid of `n_steps` steps of `step_s` seconds up to `end_s`.

    `timestamps[i]` are int64 or datetime64 nanoseconds, or float seconds, since the epoch in UTC, in any
    order; `values[i]` the values. Step j holds the mean of the samples in (end − (t−j)·step, end −
    (t−1−j)·step]: a series sampled faster is averaged, one sampled slower than the step but no slower than
    four steps is carried along as linear interpolation, and beyond that the gap stays NaN. Of repeated
    timestamps the last one given wins. Samples after `end_s` are not used, so a clock that ran ahead cannot
    leak into the past.
    """
    rows = [
        _snap_one(_seconds(t), np.asarray(v, dtype=float), step_s, n_steps, end_s)
        for t, v in zip(timestamps, values, strict=True)
    ]
    return Grid(np.stack(rows) if rows else np.empty((0, n_steps)), end_s, step_s)


def typical_interval_s(timestamps: NDArray[Any]) -> float | None:
    """Median interval in seconds between the newest hundred distinct timestamps; None with fewer than two.

    Only the newest count, so a changed sampling interval is followed soon after the change.
    """
    seconds = np.unique(_seconds(timestamps))
    if len(seconds) < 2:
        return None
    return float(np.median(np.diff(seconds[-100:])))


def _snap_one(seconds: Floats, values: Floats, step_s: float, n_steps: int, end_s: float) -> Floats:
    seconds, values = _last_of_each(seconds, values)
    usable = np.isfinite(values) & (np.abs(values) <= PLAUSIBLE_MAGNITUDE)
    # The small margin keeps a sample that lies exactly on a grid line there in spite of rounding.
    column = n_steps - 1 - np.floor((end_s - seconds) / step_s + 1e-9)
    inside = usable & (column >= 0) & (seconds <= end_s)
    cells = column[inside].astype(np.intp)
    count = np.bincount(cells, minlength=n_steps)
    total = np.bincount(cells, weights=values[inside], minlength=n_steps)
    row = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return _bridge_slow_sampling(row, cells)


def _bridge_slow_sampling(row: Floats, cells: NDArray[np.intp]) -> Floats:
    """Interpolate between samples up to four steps apart: sampled slowly is not the same as missing."""
    known = np.unique(cells)
    if len(known) < 2:
        return row
    steps = np.arange(len(row))
    after = np.searchsorted(known, steps)
    left, right = known[np.maximum(after - 1, 0)], known[np.minimum(after, len(known) - 1)]
    between = (left < steps) & (steps < right) & (right - left <= 4)
    row[between] = np.interp(steps[between], known, row[known])
    return row


def _last_of_each(seconds: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Samples in order of time, only the last given of each timestamp."""
    order = np.argsort(seconds, kind="stable")
    seconds, values = seconds[order], values[order]
    last = np.append(seconds[1:] != seconds[:-1], True) if len(seconds) else np.empty(0, dtype=bool)
    return seconds[last], values[last]


def _seconds(timestamps: NDArray[Any]) -> Floats:
    stamps = np.asarray(timestamps)
    if np.issubdtype(stamps.dtype, np.datetime64):
        stamps = stamps.astype("datetime64[ns]").astype(np.int64)
    if np.issubdtype(stamps.dtype, np.integer):
        return np.asarray(stamps / 1e9)
    return np.asarray(stamps, dtype=float)
