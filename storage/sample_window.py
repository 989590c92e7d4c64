"""A stretch of samples, from which the series in it and regular frames are made.

In the process that holds the database the rows themselves are read, once, and laid on grids by numpy: five times
faster than grouping in SQL. Through the owner only the grid travels, where raw rows are many times as many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.engine.protocol import Engine
from storage.records import Frame

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST_SAMPLES_A_STEP = 3
"""With more samples to a step than these, their means travel from the owner and not the samples."""
ROWS_AT_ONCE = 1_000_000
"""So many samples travel at once: 32 MB, and twice that for laying them out."""
MOMENTS_AT_ONCE = 1_000_000
"""So many moments are told apart at once."""
FEW_SERIES = 32
"""So many are looked for row by row; of more, most of what would be spared is read anyway."""
MOST_CODES = 2**16
"""So many series can be numbered in two bytes, by which numpy sorts in a tenth of the time."""


@dataclass(frozen=True)
class SeriesInfo:
    """A series as it is known: its parts, and the span and number of its samples in a window."""

    series: str
    metric: str
    labels: dict[str, str]
    unit: str
    first: datetime | None = None
    last: datetime | None = None
    count: int = 0

    @property
    def interval_s(self) -> float:
        """Return the mean time between samples; 0 where there are fewer than two."""
        if self.count < 2 or self.first is None or self.last is None:
            return 0.0
        return (self.last - self.first).total_seconds() / (self.count - 1)


@lru_cache(maxsize=100_000)
def series_id(series: str) -> int:
    """Return a series' 63-bit number: the same on every machine, derived from its name."""
    return int.from_bytes(hashlib.sha256(series.encode()).digest()[:8], "big") >> 1


Floats = NDArray[np.float64]
Spans = dict[int, tuple[datetime, datetime, int]]


@dataclass(frozen=True)
class Rows:
    """Samples as columns: number of the series, moment in microseconds since 1970, value."""

    numbers: NDArray[np.int64]
    moments_us: NDArray[np.int64]
    values: Floats

    def __len__(self) -> int:
        return len(self.numbers)

    def within(self, since: datetime, until: datetime) -> Rows:
        """Return the rows in (since, until]."""
        meant = (self.moments_us > micros(since)) & (self.moments_us <= micros(until))
        return self if meant.all() else self._at(meant)

    def with_later(self, more: Rows) -> Rows | None:
        """Return these rows and more; None where one of those is not later than all of its series."""
        more = more._at(np.lexsort((more.moments_us, more.numbers)))
        places = np.searchsorted(self.numbers, more.numbers, side="right")
        before = np.append(self.numbers, -1)[places - 1], np.append(self.moments_us, 0)[places - 1]
        is_old = (before[0] == more.numbers) & (before[1] >= more.moments_us)
        is_twice = (more.numbers[1:] == more.numbers[:-1]) & (more.moments_us[1:] == more.moments_us[:-1])
        if is_old.any() or is_twice.any():
            return None
        return Rows(
            np.insert(self.numbers, places, more.numbers),
            np.insert(self.moments_us, places, more.moments_us),
            np.insert(self.values, places, more.values),
        )

    def _at(self, places: NDArray[Any]) -> Rows:
        return Rows(self.numbers[places], self.moments_us[places], self.values[places])


@dataclass(frozen=True)
class SampleWindow:
    """Samples in (since, until], of all series or of those named; with `as_of`, rows recorded later are invisible.

    `known_rows`, where given, hands out what is remembered of all series since a moment.
    """

    engine: Engine
    known: Callable[[], list[SeriesInfo]]
    since: datetime
    until: datetime
    as_of: datetime | None = None
    series: Sequence[str] | None = None
    known_rows: Callable[[datetime], Rows] | None = None

    def spans(self) -> list[SeriesInfo]:
        """Return the series with samples, by name, with the first and last of them and how many moments they have."""
        # What is in memory is looked through there; a day of a large fleet would not be read for it.
        is_at_hand = self.engine.is_local and self.known_rows is not None
        told = self._spans_here() if is_at_hand else self._spans_there()
        meant = set(self.series) if self.series else None
        return [
            replace(info, first=f, last=e, count=n)
            for info in self.known()
            if (meant is None or info.series in meant) and (number := series_id(info.series)) in told
            for f, e, n in [told[number]]
        ]

    def frame(self, series: Sequence[str], step_s: float, steps: int) -> Frame:
        """Return the mean of each step for some series, NaN where a step has no sample; the last one ends at `until`.

        A step is (start, start + step_s]. Of samples with equal series and moment the one recorded last counts.
        """
        if not series:
            return Frame(series=(), values=np.full((0, steps), np.nan), end=self.until, step_s=step_s)
        made = self._frame_here if self.engine.is_local else self._frame_there
        values = made(series, step_s, steps)
        units = {info.series: info.unit for info in self.known() if info.unit}
        return Frame(series=tuple(series), values=values, end=self.until, step_s=step_s, units=units)

    @cached_property
    def rows(self) -> Rows:
        """Return the samples, in order of series and moment, the last recorded of each moment."""
        if self.known_rows is not None:
            return self.known_rows(self.since).within(self.since, self.until)
        return read_rows(self.engine, self._where(), self._params())

    def _spans_here(self) -> Spans:
        numbers, moments_us = self.rows.numbers, self.rows.moments_us
        firsts = np.flatnonzero(np.r_[True, numbers[1:] != numbers[:-1]]) if len(numbers) else np.zeros(0, int)
        ends = np.append(firsts[1:], len(numbers))[: len(firsts)]
        return {
            int(numbers[first]): (moment_at(moments_us[first]), moment_at(moments_us[end - 1]), int(end - first))
            for first, end in zip(firsts, ends, strict=True)
        }

    def _spans_there(self) -> Spans:
        """Count a stretch of time after the other, as the rows lie: the owner holds the moments of one in memory."""
        parts = [self.engine.columns(self._spans_sql(), {**self._params(), **part}) for part in self._stretches()]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        numbers, places = np.unique(joined["series_id"], return_inverse=True)
        order = np.argsort(places, kind="stable")
        starts = np.searchsorted(places[order], np.arange(len(numbers)))
        firsts_us = np.minimum.reduceat(joined["first"][order], starts) if len(order) else order
        lasts_us = np.maximum.reduceat(joined["last"][order], starts) if len(order) else order
        counts = np.bincount(places, weights=joined["count"]).astype(int)
        told = zip(numbers.tolist(), firsts_us.tolist(), lasts_us.tolist(), counts.tolist(), strict=True)
        return {number: (moment_at(first), moment_at(last), count) for number, first, last, count in told}

    def _stretches(self) -> list[dict[str, datetime]]:
        """Return stretches of the window with so many samples each as are looked at at once, were they even in time."""
        sql = f"SELECT count(*), min(ts), max(ts) FROM samples WHERE {self._where()}"
        count, first, last = self.engine.rows(sql, self._params())[0]
        parts = 1 + count // MOMENTS_AT_ONCE
        inner = [first + part * (last - first) / parts for part in range(1, parts)]
        return [{"since": since, "until": until} for since, until in pairwise([self.since, *inner, self.until])]

    def _spans_sql(self) -> str:
        return f"""SELECT series_id, epoch_us(min(ts)) AS first, epoch_us(max(ts)) AS last, count(DISTINCT ts) AS count
                   FROM samples WHERE {self._where()} GROUP BY series_id"""

    def _count(self, series: Sequence[str] | None = None, **others: Any) -> int:
        sql = f"SELECT count(*) FROM samples WHERE {self._where(series)}"
        return int(self.engine.rows(sql, {**self._params(), **others})[0][0])

    def _frame_here(self, series: Sequence[str], step_s: float, steps: int) -> Floats:
        return self._laid(self.rows, series, step_s, steps)

    def _laid(self, rows: Rows, series: Sequence[str], step_s: float, steps: int) -> Floats:
        size = len(series) * steps
        cells, values = self._cells(rows, series, step_s, steps)
        counts = np.bincount(cells, minlength=size)
        if counts.max(initial=0) <= 1:
            grid = np.full(size, np.nan)
            grid[cells] = values
            return grid.reshape(len(series), steps)
        sums = np.bincount(cells, weights=values, minlength=size)
        with np.errstate(invalid="ignore", divide="ignore"):
            means: Floats = np.where(counts > 1, sums / counts, sums)
        means[counts == 0] = np.nan
        return means.reshape(len(series), steps)

    def _cells(self, rows: Rows, series: Sequence[str], step_s: float, steps: int) -> tuple[NDArray[np.int64], Floats]:
        """Return the cells of the grid, counted through it row by row, that samples lie in, and their values."""
        names = np.array([series_id(name) for name in series])
        order = np.argsort(names)
        row = order[np.minimum(np.searchsorted(names[order], rows.numbers), len(names) - 1)]
        ages = (micros(self.until) - rows.moments_us) // round(step_s * 1e6)
        wanted = (names[row] == rows.numbers) & (ages < steps)
        cells = row * steps + (steps - 1) - ages
        return (cells, rows.values) if wanted.all() else (cells[wanted], rows.values[wanted])

    def _frame_there(self, series: Sequence[str], step_s: float, steps: int) -> Floats:
        """Read the samples themselves where they are hardly more than the steps: sorting them out is cheaper here."""
        since = max(self.until - timedelta(seconds=step_s * steps), self.since)
        count = self._count(series, since=since)
        if count > MOST_SAMPLES_A_STEP * len(series) * steps:
            return self._averages_there(series, step_s, steps, {**self._params(), "since": since})
        # In parts of time, as the rows lie: the owner reads each of them once, and the grid is all that is kept.
        values, whole = np.empty((len(series), steps)), timedelta(microseconds=round(step_s * 1e6))
        cuts = np.linspace(0, steps, 2 + min(count // ROWS_AT_ONCE, steps - 1)).astype(int).tolist()
        for first, end in pairwise(cuts):
            until = self.until - (steps - end) * whole
            part = replace(self, since=max(until - (end - first) * whole, since), until=until)
            values[:, first:end] = part._samples_there(series, step_s, end - first)
        return values

    def _samples_there(self, series: Sequence[str], step_s: float, steps: int) -> Floats:
        rows = _rows_as_they_lie(self.engine, self._where_named(series), self._params())
        cells, values = self._cells(rows, series, step_s, steps)
        grid = np.full(len(series) * steps, np.nan)
        grid[cells] = values
        # Only samples that share a step have to be sorted out: by moment, and of one moment the last recorded.
        is_shared = np.bincount(cells, minlength=len(grid)) > 1
        if is_shared.any():
            laid = self._laid(_ordered(rows, self.engine, self._where(series), self._params()), series, step_s, steps)
            grid = np.where(is_shared, laid.ravel(), grid)
        return grid.reshape(len(series), steps)

    def _averages_there(self, series: Sequence[str], step_s: float, steps: int, params: Mapping[str, Any]) -> Floats:
        values = np.full((len(series), steps), np.nan)
        sql = f"""
            SELECT series_id, CAST((epoch_us($until) - epoch_us(ts)) // CAST($step_us AS BIGINT) AS INTEGER) AS age,
                   avg(value) AS value
            FROM (SELECT series_id, ts, arg_max(value, recorded_at) AS value FROM samples
                  WHERE {self._where(series)} GROUP BY series_id, ts)
            GROUP BY 1, 2"""
        found = self.engine.columns(sql, {**params, "step_us": round(step_s * 1e6)})
        names = np.array([series_id(name) for name in series])
        order = np.argsort(names)
        rows = order[np.searchsorted(names[order], found["series_id"])]
        values[rows, steps - 1 - np.asarray(found["age"], dtype=int)] = _values(found["value"])
        return values

    def _where(self, series: Sequence[str] | None = None) -> str:
        names = self.series if series is None else series
        meant = f" AND series_id IN ({', '.join(str(series_id(name)) for name in names)})" if names else ""
        seen = " AND recorded_at <= $as_of" if self.as_of is not None else ""
        return f"ts > $since AND ts <= $until{meant}{seen}"

    def _where_named(self, series: Sequence[str]) -> str:
        """Return the same, said so that the values of all other series are not read where only a few are named."""
        where = self._where(series)
        return f"rowid IN (SELECT rowid FROM samples WHERE {where})" if len(series) <= FEW_SERIES else where

    def _params(self) -> dict[str, Any]:
        return {"since": self.since, "until": self.until, "as_of": self.as_of}


def read_rows(engine: Engine, where: str, params: Mapping[str, Any]) -> Rows:
    """Read samples in order of series and moment, the last recorded of each moment."""
    return _ordered(_rows_as_they_lie(engine, where, params), engine, where, params)


def _rows_as_they_lie(engine: Engine, where: str, params: Mapping[str, Any]) -> Rows:
    found = engine.columns(f"SELECT series_id, epoch_us(ts) AS ts, value FROM samples WHERE {where}", params)
    return Rows(found["series_id"], found["ts"], _values(found["value"]))


def _ordered(rows: Rows, engine: Engine, where: str, params: Mapping[str, Any]) -> Rows:
    """Return the rows that were read so in order; when each was recorded is only asked where a moment has several."""
    ordered = _in_order(rows)
    return ordered if ordered is not None else _last_of_each(*_unsorted_rows(engine, where, params))


def _in_order(rows: Rows) -> Rows | None:
    """Return samples in order of series and moment; None where a moment of a series has several.

    They lie as they were recorded, which mostly is in order of time.
    """
    rows = rows._at(np.argsort(_codes(rows.numbers), kind="stable"))
    is_one = rows.numbers[1:] == rows.numbers[:-1]
    if (is_one & (rows.moments_us[1:] <= rows.moments_us[:-1])).any():
        rows = rows._at(np.lexsort((rows.moments_us, rows.numbers)))
        if (is_one & (rows.moments_us[1:] == rows.moments_us[:-1])).any():
            return None
    return rows


def _unsorted_rows(engine: Engine, where: str, params: Mapping[str, Any]) -> tuple[Rows, NDArray[np.int64]]:
    """Read samples as they lie, and when each was recorded."""
    sql = f"""SELECT series_id, epoch_us(ts) AS ts, value, epoch_us(recorded_at) AS recorded_at
              FROM samples WHERE {where}"""
    found = engine.columns(sql, params)
    return Rows(found["series_id"], found["ts"], _values(found["value"])), found["recorded_at"]


def _last_of_each(rows: Rows, recorded_us: NDArray[np.int64]) -> Rows:
    """Return samples in order of series and moment, the last recorded of each moment."""
    rows = rows._at(_in_time(rows.numbers, rows.moments_us, recorded_us))
    last = np.ones(len(rows), dtype=bool)
    last[:-1] = (rows.numbers[1:] != rows.numbers[:-1]) | (rows.moments_us[1:] != rows.moments_us[:-1])
    return rows if last.all() else rows._at(last)


def _in_time(
    numbers: NDArray[np.int64], moments_us: NDArray[np.int64], recorded_us: NDArray[np.int64]
) -> NDArray[np.intp]:
    """Return the order of series, moment and recording; rows lie in the order of recording, which mostly is that."""
    order = np.argsort(numbers, kind="stable")
    is_one = numbers[order][1:] == numbers[order][:-1]
    if np.all(np.diff(moments_us[order])[is_one] >= 0) and np.all(np.diff(recorded_us[order])[is_one] >= 0):
        return order
    return np.lexsort((recorded_us, moments_us, numbers))


def _codes(numbers: NDArray[np.int64]) -> NDArray[Any]:
    """Return the place (n,) of each number among all that there are, in two bytes; else themselves."""
    known = np.unique(numbers[:MOST_CODES])
    while len(known) <= MOST_CODES:
        codes = np.minimum(np.searchsorted(known, numbers), max(len(known) - 1, 0)).astype(np.uint16)
        unknown = numbers[known[codes] != numbers] if len(known) else numbers
        if not len(unknown):
            return codes
        known = np.union1d(known, unknown[:MOST_CODES])
    return numbers


def micros(moment: datetime) -> int:
    """Return a moment in microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment_at(micros: int) -> datetime:
    """Return the moment so many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=int(micros))


def _values(column: np.ndarray[Any, Any]) -> Floats:
    """Return a column of values; one that was recorded as no number comes masked, with 0 under the mask."""
    return np.asarray(np.ma.filled(column, np.nan), dtype=float)
