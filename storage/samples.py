"""Samples: bulk columns in, regular frames out."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.engine.protocol import Columns, Engine, Followed
from storage.records import Frame, Sample
from storage.sample_window import Rows, SampleWindow, SeriesInfo, micros, moment_at, read_rows, series_id
from storage.table import Clock, append_few, insert_new, whole_day

__all__ = ["SampleColumns", "SampleTable", "SampleWindow", "SeriesInfo", "series_id"]


SOON_LOOKED_THROUGH = 200_000
"""More kept rows than these take longer to look through than to read the few that are asked for."""
MOST_FOLLOWED = 1_000_000
"""More rows than these are read anew in every turn: laying new ones beside them would take as long."""

MOST_NAMED = 200
"""More series than these are not named in a question: all are read."""


@dataclass(frozen=True)
class SampleColumns:
    """Samples as columns of equal length, and every series among them by name.

    `numbers` are those of the series (`series_id`), `moments_us` microseconds since 1970, `values` are (n,).
    """

    series: Mapping[str, SeriesInfo]
    numbers: NDArray[np.int64]
    moments_us: NDArray[np.int64]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> SampleColumns:
        """Return samples as columns; a series is described by the first of its samples."""
        names = [sample.series for sample in samples]
        first = dict(zip(reversed(names), reversed(samples), strict=True))
        return cls(
            {name: SeriesInfo(name, each.metric, each.labels, each.unit) for name, each in first.items()},
            np.array([series_id(name) for name in names], dtype=np.int64),
            np.array([micros(each.ts) for each in samples], dtype=np.int64),
            np.array([each.value for each in samples], dtype=float),
        )

    def __len__(self) -> int:
        return len(self.numbers)

    def where(self, is_meant: NDArray[np.bool_]) -> SampleColumns:
        """Return those of the samples for which `is_meant` (n,) holds."""
        return replace(
            self, numbers=self.numbers[is_meant], moments_us=self.moments_us[is_meant], values=self.values[is_meant]
        )

    def between(self, first: int, last: int) -> SampleColumns:
        """Return the samples from one place to before another, with the series that are among them."""
        numbers = self.numbers[first:last]
        meant = set(numbers.tolist())
        series = {name: info for name, info in self.series.items() if series_id(name) in meant}
        return SampleColumns(series, numbers, self.moments_us[first:last], self.values[first:last])

    @classmethod
    def joined(cls, parts: Sequence[SampleColumns]) -> SampleColumns:
        """Return the samples of several as one, in their order."""
        if len(parts) == 1:
            return parts[0]
        series: dict[str, SeriesInfo] = {}
        for part in parts:
            series = {**part.series, **series}
        return cls(
            series,
            np.concatenate([part.numbers for part in parts]),
            np.concatenate([part.moments_us for part in parts]),
            np.concatenate([part.values for part in parts]),
        )


@dataclass(frozen=True)
class RowsSince:
    """All samples later than a moment."""

    since: datetime
    rows: Rows


@dataclass(frozen=True)
class RequestCount:
    """Values of a ratio in a window, and the denominators of the good ones and of all; whether these are counts."""

    values: int
    good: float
    total: float
    are_counts: bool


_GROWN_OVER_S = 7_200.0


def _goodness(value: str, side: str, bound: float | None) -> str:
    """Return in SQL how good a value is, from 0 to 1: within the bound or not, without one the share that it is."""
    if bound is not None:
        return f"CASE WHEN {value} {'<=' if side == 'below' else '>='} {float(bound)!r}::DOUBLE THEN 1.0 ELSE 0.0 END"
    share = f"least(greatest({value}, 0.0), 1.0)"
    return share if side == "above" else f"(1.0 - {share})"


class SampleTable:
    """The `samples` and `series` tables."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._introduced: set[str] = set()
        self._introduced_on: date | None = None
        self._followed = Followed(("samples",), self._read_since, _with_later, widen=lambda since: (whole_day(since),))

    def append(self, samples: Sequence[Sample]) -> int:
        """Record samples; durable when this returns. Returns how many."""
        return self.append_columns(SampleColumns.of(samples)) if samples else 0

    def unrecorded_columns(self, samples: SampleColumns) -> SampleColumns:
        """Return those samples that are not recorded yet, or with another value: for what is asked for twice."""
        if not len(samples):
            return samples
        moments_us = samples.moments_us
        known = self._recorded_at(samples.numbers, moment_at(moments_us.min()), moment_at(moments_us.max()))
        places = zip(samples.numbers.tolist(), moments_us.tolist(), samples.values.tolist(), strict=True)
        is_new = (known.get((number, at_us)) != value for number, at_us, value in places)
        return samples.where(np.fromiter(is_new, dtype=bool, count=len(samples)))

    def recorded_values(self, samples: SampleColumns) -> NDArray[np.float64]:
        """Return what is recorded at the series and moment of each of some samples (n,), NaN where nothing is."""
        found = np.full(len(samples), np.nan)
        if not len(samples):
            return found
        first, last = moment_at(samples.moments_us.min()), moment_at(samples.moments_us.max())
        rows = self._rows_between(samples.numbers, first, last)
        order = np.argsort(samples.numbers, kind="stable")
        for mine in np.split(order, np.flatnonzero(np.diff(samples.numbers[order])) + 1):
            start, end = np.searchsorted(rows.numbers, samples.numbers[mine[0]] + np.array([0, 1]))
            moments_us = rows.moments_us[start:end]
            if len(moments_us):
                places = np.minimum(np.searchsorted(moments_us, samples.moments_us[mine]), len(moments_us) - 1)
                is_there = moments_us[places] == samples.moments_us[mine]
                found[mine[is_there]] = rows.values[start:end][places[is_there]]
        return found

    def recorded(self, samples: Sequence[Sample]) -> dict[tuple[str, datetime], float]:
        """Return by series and moment the values that are recorded where some samples lie."""
        if not samples:
            return {}
        moments, numbers = [sample.ts for sample in samples], [series_id(sample.series) for sample in samples]
        known = self._recorded_at(np.array(numbers), min(moments), max(moments))
        places = (((each.series, each.ts), (series_id(each.series), micros(each.ts))) for each in samples)
        return {place: known[key] for place, key in places if key in known}

    def _recorded_at(self, numbers: NDArray[np.int64], first: datetime, last: datetime) -> dict[tuple[int, int], float]:
        """Return by number and microsecond the values recorded of at least some series from one moment to another."""
        rows = self._rows_between(numbers, first, last)
        keys = zip(rows.numbers.tolist(), rows.moments_us.tolist(), strict=True)
        return dict(zip(keys, rows.values.tolist(), strict=True))

    def _rows_between(self, numbers: NDArray[np.int64], first: datetime, last: datetime) -> Rows:
        """Return the samples of at least some series from one moment to another, by series and moment."""
        meant = np.unique(numbers).tolist()
        of_them = f" AND series_id IN ({', '.join(map(str, meant))})" if len(meant) <= MOST_NAMED else ""
        return read_rows(self._engine, f"ts >= $first AND ts <= $last{of_them}", {"first": first, "last": last})

    def append_columns(self, samples: SampleColumns) -> int:
        """Record samples given as columns; durable when this returns. Returns how many."""
        count = len(samples)
        if not count:
            return 0
        recorded_at = self._clock()
        self._introduce(samples.series, recorded_at)
        columns: dict[str, Any] = {
            "series_id": samples.numbers,
            "ts": samples.moments_us.view("datetime64[us]"),
            "value": samples.values,
            "recorded_at": np.full(count, micros(recorded_at)).view("datetime64[us]"),
        }
        append_few(self._engine, "samples", columns)
        return count

    def known(self) -> list[SeriesInfo]:
        """Return every series ever seen, by name."""

        def read() -> tuple[SeriesInfo, ...]:
            rows = self._engine.rows("SELECT series, metric, labels, unit FROM series ORDER BY series")
            return tuple(SeriesInfo(series, metric, json.loads(labels), unit) for series, metric, labels, unit in rows)

        return list(self._engine.recall(("series",), "series", read))

    def spans(self, since: datetime, until: datetime, as_of: datetime | None = None) -> list[SeriesInfo]:
        """Return the series with samples in (since, until], with first, last and number of samples."""
        return self.window(since, until, as_of).spans()

    def frame(
        self, series: Sequence[str], end: datetime, step_s: float, steps: int, as_of: datetime | None = None
    ) -> Frame:
        """Return the mean of each step for some series, NaN where a step has no sample.

        A step is (start, start + step_s]; the last one ends at `end`. Of samples with equal series and moment the
        one recorded last counts. With `as_of`, rows recorded later are invisible.
        """
        return self.window(end - timedelta(seconds=step_s * steps), end, as_of, series).frame(series, step_s, steps)

    def window(
        self, since: datetime, until: datetime, as_of: datetime | None = None, series: Sequence[str] | None = None
    ) -> SampleWindow:
        """Return the samples in (since, until], of all series or of some, to be looked at in several ways."""
        window = SampleWindow(self._engine, self.known, since, until, as_of, series)
        kept = self._engine.kept(self._followed) if as_of is None else None
        is_there = kept is not None and kept.since <= since and len(kept.rows) <= SOON_LOOKED_THROUGH
        return replace(window, known_rows=lambda _: kept.rows) if kept is not None and is_there else window

    def recent(self, since: datetime, until: datetime) -> SampleWindow:
        """Return the samples in (since, until] of all series, as a loop asks for them turn after turn."""

        def known_rows(moment: datetime) -> Rows:
            return self._engine.follow(self._followed, moment).rows

        return SampleWindow(self._engine, self.known, since, until, known_rows=known_rows)

    def _read_since(self, moment: datetime) -> RowsSince:
        return RowsSince(moment, read_rows(self._engine, "ts > $since", {"since": moment}))

    def columns(
        self, since: datetime, until: datetime, series: Sequence[str] | None = None
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Return raw samples in (since, until] as columns series, ts, value, in time order: for replay.

        Of all series, or of those named.
        """
        meant = (
            "" if series is None else f"AND v.series_id IN ({', '.join(map(str, map(series_id, series))) or 'NULL'})"
        )
        sql = f"""
            SELECT s.series, v.ts, v.value FROM samples v JOIN series s USING (series_id)
            WHERE v.ts > $since AND v.ts <= $until {meant} ORDER BY v.ts, s.series, v.recorded_at"""
        return self._engine.columns(sql, {"since": since, "until": until})

    def history(self, since: datetime, until: datetime, series: Sequence[str] | None = None) -> SampleColumns:
        """Return the samples in (since, until] in time order, of all series or of those named: for replay."""
        meant = None if series is None else [series_id(name) for name in series]
        of_them = "" if meant is None else f" AND series_id IN ({', '.join(map(str, meant)) or 'NULL'})"
        rows = read_rows(self._engine, f"ts > $since AND ts <= $until{of_them}", {"since": since, "until": until})
        order = np.argsort(rows.moments_us, kind="stable")
        there = set(np.unique(rows.numbers).tolist())
        infos = {info.series: info for info in self.known() if series_id(info.series) in there}
        return SampleColumns(infos, rows.numbers[order], rows.moments_us[order], rows.values[order])

    def share_within(
        self, names: Sequence[str], since: datetime, until: datetime, side: str, bound: float | None
    ) -> tuple[float, int]:
        """Return (good, total) samples of some series in a window; good ones are within the bound.

        Without a bound each is a share, of good events (side above) or of bad ones, and as good as that says.
        """
        if not names:
            return 0.0, 0
        numbers = ", ".join(str(series_id(name)) for name in names)
        sql = f"""
            SELECT coalesce(sum({_goodness("value", side, bound)}), 0), count(*) FROM samples
            WHERE series_id IN ({numbers}) AND ts > $since AND ts <= $until"""
        good, total = self._engine.rows(sql, {"since": since, "until": until})[0]
        return float(good), int(total)

    def broken_within(
        self, names: Sequence[str], since: datetime, until: datetime, side: str, bound: float
    ) -> dict[str, float]:
        """Return by series the seconds of a window in which it broke a bound; one without samples in it is left out.

        Each sample stands for the series' mean time between two.
        """
        if not names:
            return {}
        test = "value > $bound" if side == "below" else "value < $bound"
        by_number = {series_id(name): name for name in names}
        sql = f"""
            SELECT series_id, count(*) FILTER ({test}), count(*), date_diff('microsecond', min(ts), max(ts))
            FROM samples WHERE series_id IN ({", ".join(map(str, by_number))}) AND ts > $since AND ts <= $until
            GROUP BY series_id"""
        rows = self._engine.rows(sql, {"since": since, "until": until, "bound": bound})
        return {by_number[number]: bad * span_us / 1e6 / max(1, count - 1) for number, bad, count, span_us in rows}

    def requests_within(
        self,
        pairs: Sequence[tuple[str, str]],
        since: datetime,
        until: datetime,
        side: str,
        bound: float | None,
        counters: Collection[str] = (),
    ) -> RequestCount:
        """Count the values of ratios in a window, each as heavy as its denominator at the time.

        `pairs` are the series of a ratio and of its denominator; of the `counters` among these their growth counts. The
        good ones are within the bound; without one each is as good as the share that it is (see `share_within`).
        """
        if not pairs:
            return RequestCount(0, 0.0, 0.0, False)
        names = ", ".join(f"({series_id(ratio)}, {series_id(below)}, {below in counters})" for ratio, below in pairs)
        # A counter's growth in the first step of the window needs the value before it.
        earlier = since - timedelta(seconds=_GROWN_OVER_S)
        sql = f"""
            WITH pairs(ratio, below, grows) AS (VALUES {names}),
                 r AS (SELECT below, ts, arg_max(value, recorded_at) AS value
                       FROM samples JOIN pairs ON series_id = ratio
                       WHERE ts > $since AND ts <= $until GROUP BY ALL),
                 known AS (SELECT below, any_value(grows) AS grows, ts, arg_max(value, recorded_at) AS value
                           FROM samples JOIN (SELECT DISTINCT below, grows FROM pairs) ON series_id = below
                           WHERE ts > $earlier AND ts <= $until GROUP BY below, ts),
                 weighed AS (SELECT below, ts, CASE WHEN grows THEN
                                 greatest(value - lag(value) OVER (PARTITION BY below ORDER BY ts), 0) ELSE value END
                                 AS value FROM known),
                 d AS (SELECT * FROM weighed WHERE ts > $since AND value IS NOT NULL)
            SELECT count(*), coalesce(sum(d.value * {_goodness("r.value", side, bound)}), 0), coalesce(sum(d.value), 0),
                   coalesce(bool_and(d.value >= 0 AND d.value = floor(d.value)), FALSE)
            FROM r ASOF JOIN d ON r.below = d.below AND r.ts >= d.ts"""
        found = self._engine.rows(sql, {"since": since, "until": until, "earlier": earlier})[0]
        return RequestCount(int(found[0]), float(found[1]), float(found[2]), bool(found[3]))

    def extremes(
        self, series: str, since: datetime, until: datetime, buckets: int
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return the lowest and the highest sample of each of equal parts of (since, until]: to draw, no spike is lost.

        Moments in epoch seconds, in order, and values; up to two a part. Of equal moments the last recorded counts.
        """
        sql = f"""
            WITH known AS (SELECT ts, arg_max(value, recorded_at) AS value FROM samples
                           WHERE series_id = {series_id(series)} AND ts > $since AND ts <= $until GROUP BY ts),
                 parts AS (SELECT (epoch_us(ts) - epoch_us($since) - 1) // CAST($size_us AS BIGINT) AS part,
                                  min_by({{'ts': ts, 'value': value}}, value) AS low,
                                  max_by({{'ts': ts, 'value': value}}, value) AS high FROM known GROUP BY 1),
                 drawn AS (SELECT low AS drawn FROM parts UNION SELECT high FROM parts)
            SELECT epoch_us(drawn.ts) AS ts, drawn.value AS value FROM drawn ORDER BY 1"""
        size_us = max(1, -(-(micros(until) - micros(since)) // buckets))
        found = self._engine.columns(sql, {"since": since, "until": until, "size_us": size_us})
        return np.asarray(found["ts"], dtype=np.float64) / 1e6, np.asarray(found["value"], dtype=np.float64)

    def latest(self, since: datetime) -> dict[str, tuple[datetime, float]]:
        """Return the newest moment and value of every series with a sample after `since`."""
        sql = """
            SELECT s.series, v.ts, v.value FROM
              (SELECT series_id, max(ts) AS ts, arg_max(value, ts) AS value FROM samples
               WHERE ts > $since GROUP BY series_id) v
            JOIN series s USING (series_id)"""
        return {series: (ts, value) for series, ts, value in self._engine.rows(sql, {"since": since})}

    def _introduce(self, series: Mapping[str, SeriesInfo], now: datetime) -> None:
        # Once a day anew: a series that was silent for months may have been forgotten meanwhile.
        if now.date() != self._introduced_on:
            self._introduced, self._introduced_on = set(), now.date()
        fresh = [each for name, each in series.items() if name not in self._introduced]
        if not fresh:
            return
        columns: dict[str, list[Any]] = {
            "series_id": [series_id(each.series) for each in fresh],
            "series": [each.series for each in fresh],
            "metric": [each.metric for each in fresh],
            "labels": [json.dumps(each.labels) for each in fresh],
            "unit": [each.unit for each in fresh],
            "recorded_at": [now] * len(fresh),
        }
        insert_new(self._engine, "series", columns)
        # What a transaction introduced may be taken back with it.
        if not self._engine.in_transaction:
            self._introduced.update(each.series for each in fresh)


def _with_later(known: RowsSince, table: str, new: Columns) -> RowsSince | None:
    if len(known.rows) >= MOST_FOLLOWED:
        return None
    numbers, moments, values = (np.asarray(new[name]) for name in ("series_id", "ts", "value"))
    more = known.rows.with_later(Rows(numbers, moments.astype(np.int64), values))
    return None if more is None else RowsSince(known.since, more)
