"""A stretch of samples, from which the series in it and regular frames are made.

In the process that holds the database the rows themselves are read, once, and laid on grids by numpy: five times
faster than grouping in SQL. Through the owner only the grid travels, since raw rows may be a hundred times as many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.engine.protocol import Engine
from storage.records import Frame

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
        told = self._spans_here() if self.engine.is_local else self._spans_there()
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
            int(numbers[first]): (_moment(moments_us[first]), _moment(moments_us[end - 1]), int(end - first))
            for first, end in zip(firsts, ends, strict=True)
        }

    def _spans_there(self) -> Spans:
        sql = f"""SELECT series_id, min(ts), max(ts), count(DISTINCT ts) FROM samples
                  WHERE {self._where()} GROUP BY series_id"""
        return {number: (first, last, count) for number, first, last, count in self.engine.rows(sql, self._params())}

    def _frame_here(self, series: Sequence[str], step_s: float, steps: int) -> Floats:
        rows = self.rows
        names = np.array([series_id(name) for name in series])
        order = np.argsort(names)
        place = np.minimum(np.searchsorted(names[order], rows.numbers), len(names) - 1)
        row = order[place]
        ages = (micros(self.until) - rows.moments_us) // round(step_s * 1e6)
        wanted = (names[row] == rows.numbers) & (ages < steps)
        cells = row[wanted] * steps + steps - 1 - ages[wanted]
        counts = np.bincount(cells, minlength=len(series) * steps)
        sums = np.bincount(cells, weights=rows.values[wanted], minlength=len(series) * steps)
        with np.errstate(invalid="ignore", divide="ignore"):
            means: Floats = np.where(counts > 1, sums / counts, sums)
        means[counts == 0] = np.nan
        return means.reshape(len(series), steps)

    def _frame_there(self, series: Sequence[str], step_s: float, steps: int) -> Floats:
        values = np.full((len(series), steps), np.nan)
        places = {series_id(name): row for row, name in enumerate(series)}
        sql = f"""
            SELECT series_id, CAST((epoch_us($until) - epoch_us(ts)) // CAST($step_us AS BIGINT) AS INTEGER) AS age,
                   avg(value) AS value
            FROM (SELECT series_id, ts, arg_max(value, recorded_at) AS value FROM samples
                  WHERE {self._where(series)} GROUP BY series_id, ts)
            GROUP BY 1, 2"""
        start = self.until - timedelta(seconds=step_s * steps)
        params = {**self._params(), "since": max(start, self.since), "step_us": round(step_s * 1e6)}
        found = self.engine.columns(sql, params)
        rows = np.array([places[int(number)] for number in found["series_id"]], dtype=int)
        values[rows, steps - 1 - np.asarray(found["age"], dtype=int)] = _values(found["value"])
        return values

    def _where(self, series: Sequence[str] | None = None) -> str:
        names = self.series if series is None else series
        meant = f" AND series_id IN ({', '.join(str(series_id(name)) for name in names)})" if names else ""
        seen = " AND recorded_at <= $as_of" if self.as_of is not None else ""
        return f"ts > $since AND ts <= $until{meant}{seen}"

    def _params(self) -> dict[str, Any]:
        return {"since": self.since, "until": self.until, "as_of": self.as_of}


def read_rows(engine: Engine, where: str, params: Mapping[str, Any]) -> Rows:
    """Read samples in order of series and moment, the last recorded of each moment."""
    sql = f"""SELECT series_id, epoch_us(ts) AS ts, value, epoch_us(recorded_at) AS recorded_at
              FROM samples WHERE {where}"""
    found = engine.columns(sql, params)
    numbers, moments_us, values = found["series_id"], found["ts"], _values(found["value"])
    order = _in_time(numbers, moments_us, found["recorded_at"])
    numbers, moments_us, values = numbers[order], moments_us[order], values[order]
    last = np.ones(len(order), dtype=bool)
    last[:-1] = (numbers[1:] != numbers[:-1]) | (moments_us[1:] != moments_us[:-1])
    return Rows(numbers[last], moments_us[last], values[last])


def _in_time(
    numbers: NDArray[np.int64], moments_us: NDArray[np.int64], recorded_us: NDArray[np.int64]
) -> NDArray[np.intp]:
    """Return the order of series, moment and recording; rows lie in the order of recording, which mostly is that."""
    order = np.argsort(numbers, kind="stable")
    is_one = numbers[order][1:] == numbers[order][:-1]
    if np.all(np.diff(moments_us[order])[is_one] >= 0) and np.all(np.diff(recorded_us[order])[is_one] >= 0):
        return order
    return np.lexsort((recorded_us, moments_us, numbers))


def micros(moment: datetime) -> int:
    """Return a moment in microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def _moment(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=int(micros))


def _values(column: np.ndarray[Any, Any]) -> Floats:
    """Return a column of values; one that was recorded as no number comes masked, with 0 under the mask."""
    return np.asarray(np.ma.filled(column, np.nan), dtype=float)
