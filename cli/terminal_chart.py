"""A chart of letters: what was, what is expected with its interval, and the bounds, as wide as the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.records import FloatArray
from tasks.text import number

MARGIN = 0.05
"""Room above and below what is drawn, as a share of its height."""
NEAR = 1.0
"""A bound that lies farther from all values than so many times their height is named below and not drawn."""


Places = NDArray[np.intp]


@dataclass(frozen=True)
class Glyphs:
    """The letters that a chart is drawn with."""

    history: str
    median: str
    band: str
    bound: str
    now: str
    axis: str


UNICODE = Glyphs(history="•", median="━", band="░", bound="┄", now="│", axis="┤")
PLAIN = Glyphs(history="o", median="*", band=":", bound="-", now="|", axis="|")


@dataclass(frozen=True)
class BoundLine:
    """A bound with the name of its objective."""

    name: str
    bound: float


@dataclass(frozen=True)
class Picture:
    """What is drawn; times are seconds, those of the history up to `now_s` and those of the forecast after it.

    `history` is (n,) and may hold NaN; `median`, `low` and `high` are (m,).
    """

    history_s: FloatArray
    history: FloatArray
    now_s: float
    ahead_s: FloatArray
    median: FloatArray
    low: FloatArray
    high: FloatArray
    bounds: Sequence[BoundLine] = ()


def glyphs_for(encoding: str | None) -> Glyphs:
    """Return the letters that an encoding has: plain ones where it lacks the others."""
    try:
        "".join(vars(UNICODE).values()).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return PLAIN
    return UNICODE


def draw(picture: Picture, width: int, height: int, glyphs: Glyphs = UNICODE) -> list[str]:
    """Return the lines of a chart, `width` letters wide at most and `height` high, and a last line below the axis.

    A column stands for a stretch of time: of the history its mean, of the interval its widest. What lies under
    something else is drawn first: bounds, interval, the moment now, median, history.
    """
    drawn = _drawn_bounds(picture)
    low, high = _reach(picture, drawn)
    labels = [number(high - (high - low) * row / (height - 1), 3) for row in range(height)]
    left = max(map(len, labels))
    columns = max(10, width - left - 2)
    grid = np.full((height, columns), " ", dtype="<U1")
    first_s, last_s = _span_s(picture)

    def row_of(values: FloatArray) -> FloatArray:
        rows: FloatArray = np.clip(np.rint((high - values) / (high - low) * (height - 1)), 0, height - 1)
        return rows

    def column_of(times_s: FloatArray) -> FloatArray:
        places: FloatArray = np.clip(np.floor((times_s - first_s) / (last_s - first_s) * columns), 0, columns - 1)
        return places

    for line in drawn:
        grid[int(row_of(np.array([line.bound]))[0]), :] = glyphs.bound
    # However short the forecast is beside its past, it has a column of its own.
    now_column = min(int(column_of(np.array([picture.now_s]))[0]), columns - 2)
    ahead = _filled(column_of(picture.ahead_s), now_column + 1, columns)
    for column, places in ahead:
        top, bottom = row_of(np.array([picture.high[places].max(), picture.low[places].min()])).astype(int)
        grid[top : bottom + 1, column] = glyphs.band
    grid[:, now_column] = glyphs.now
    for column, places in ahead:
        grid[int(row_of(picture.median[places].mean(keepdims=True))[0]), column] = glyphs.median
    known = np.isfinite(picture.history)
    for column, places in _by_column(np.minimum(column_of(picture.history_s[known]), now_column)):
        grid[int(row_of(picture.history[known][places].mean(keepdims=True))[0]), column] = glyphs.history
    return [
        f"{label:>{left}} {glyphs.axis}{''.join(row)}".rstrip()
        for label, row in zip(labels, grid.tolist(), strict=True)
    ]


def column_of_now(picture: Picture, lines: Sequence[str], glyphs: Glyphs) -> int:
    """Return where in the lines of a chart the moment now stands."""
    return max(line.rfind(glyphs.now) for line in lines)


def _drawn_bounds(picture: Picture) -> list[BoundLine]:
    """Return the bounds that lie near the values; one far off would press all else into a line."""
    values = _values(picture)
    low, high = float(values.min()), float(values.max())
    reach = NEAR * (high - low or abs(high) or 1.0)
    return [line for line in picture.bounds if low - reach <= line.bound <= high + reach]


def far_bounds(picture: Picture) -> list[BoundLine]:
    """Return the bounds that are not drawn."""
    drawn = _drawn_bounds(picture)
    return [line for line in picture.bounds if line not in drawn]


def _values(picture: Picture) -> FloatArray:
    every = np.concatenate([picture.history, picture.low, picture.high, picture.median])
    finite: FloatArray = every[np.isfinite(every)]
    return finite


def _reach(picture: Picture, drawn: Sequence[BoundLine]) -> tuple[float, float]:
    every = np.append(_values(picture), [line.bound for line in drawn])
    low, high = float(every.min()), float(every.max())
    if low == high:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    room = MARGIN * (high - low)
    return low - room, high + room


def _span_s(picture: Picture) -> tuple[float, float]:
    times_s = np.concatenate([picture.history_s, [picture.now_s], picture.ahead_s])
    first_s, last_s = float(times_s.min()), float(times_s.max())
    return first_s, last_s if last_s > first_s else first_s + 1.0


def _by_column(columns: FloatArray) -> list[tuple[int, Places]]:
    return [(int(column), np.flatnonzero(columns == column)) for column in np.unique(columns)]


def _filled(columns: FloatArray, first: int, end: int) -> list[tuple[int, Places]]:
    """Return for every column from `first` on the steps it stands for: where there is none, the next one's."""
    if not len(columns):
        return []
    by_column = dict(_by_column(columns))
    filled = []
    for column in range(first, end):
        places = by_column.get(column)
        if places is None:
            places = np.array([min(int(np.searchsorted(columns, column)), len(columns) - 1)])
        filled.append((column, places))
    return filled
