"""Samples: bulk columns in, regular frames out."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from storage.engine import Engine, literal
from storage.records import Frame, Sample
from storage.table import Clock


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


def series_id(series: str) -> int:
    """Return a series' 63-bit number: the same on every machine, derived from its name."""
    return int.from_bytes(hashlib.sha256(series.encode()).digest()[:8], "big") >> 1


class Samples:
    """The `samples` and `series` tables."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def append(self, samples: Sequence[Sample]) -> int:
        """Record samples; durable when this returns. Returns how many."""
        if not samples:
            return 0
        self._introduce(samples)
        recorded_at = self._clock()
        numbers = [series_id(sample.series) for sample in samples]
        if len(samples) <= 200:
            self._append_few(numbers, samples, recorded_at)
        else:
            self.append_columns(numbers, [s.ts for s in samples], [s.value for s in samples], recorded_at)
        return len(samples)

    def append_columns(
        self,
        numbers: Sequence[int],
        moments: Sequence[datetime],
        values: Sequence[float],
        recorded_at: datetime,
    ) -> None:
        """Record columns of equal length: series numbers, moments, values."""
        self._engine.append(
            "samples",
            {
                "series_id": np.asarray(numbers, dtype=np.int64),
                "ts": list(moments),
                "value": np.asarray(values, dtype=float),
                "recorded_at": [recorded_at] * len(numbers),
            },
        )

    def known(self) -> list[SeriesInfo]:
        """Return every series ever seen, by name."""
        rows = self._engine.rows("SELECT series, metric, labels, unit FROM series ORDER BY series")
        return [SeriesInfo(series, metric, json.loads(labels), unit) for series, metric, labels, unit in rows]

    def spans(self, since: datetime, until: datetime, as_of: datetime | None = None) -> list[SeriesInfo]:
        """Return the series with samples in (since, until], with first, last and number of samples."""
        sql = f"""
            SELECT s.series, s.metric, s.labels, s.unit, w.first_ts, w.last_ts, w.n
            FROM (SELECT series_id, min(ts) AS first_ts, max(ts) AS last_ts, count(DISTINCT ts) AS n
                  FROM samples WHERE ts > $since AND ts <= $until {_seen(as_of)} GROUP BY series_id) w
            JOIN series s USING (series_id) ORDER BY s.series"""
        rows = self._engine.rows(sql, {"since": since, "until": until, "as_of": as_of})
        return [SeriesInfo(s, m, json.loads(lab), u, a, b, n) for s, m, lab, u, a, b, n in rows]

    def frame(
        self, series: Sequence[str], end: datetime, step_s: float, steps: int, as_of: datetime | None = None
    ) -> Frame:
        """Return the mean of each step for some series, NaN where a step has no sample.

        A step is (start, start + step_s]; the last one ends at `end`. Of samples with equal series and moment the
        one recorded last counts. With `as_of`, rows recorded later are invisible.
        """
        values = np.full((len(series), steps), np.nan)
        if not series:
            return Frame(series=(), values=values, end=end, step_s=step_s)
        start = end - timedelta(seconds=step_s * steps)
        numbers = {series_id(name): row for row, name in enumerate(series)}
        sql = f"""
            SELECT series_id, CAST((epoch_us($end) - epoch_us(ts)) // CAST($step_us AS BIGINT) AS INTEGER) AS age,
                   avg(value) AS value
            FROM (SELECT series_id, ts, arg_max(value, recorded_at) AS value FROM samples
                  WHERE ts > $start AND ts <= $end {_seen(as_of)}
                    AND series_id IN ({", ".join(map(str, numbers))})
                  GROUP BY series_id, ts)
            GROUP BY 1, 2"""
        params = {"end": end, "start": start, "step_us": round(step_s * 1e6), "as_of": as_of}
        found = self._engine.columns(sql, params)
        rows = np.array([numbers[int(number)] for number in found["series_id"]], dtype=int)
        values[rows, steps - 1 - np.asarray(found["age"], dtype=int)] = np.asarray(found["value"], dtype=float)
        return Frame(series=tuple(series), values=values, end=end, step_s=step_s)

    def columns(self, since: datetime, until: datetime) -> dict[str, np.ndarray[Any, Any]]:
        """Return raw samples in (since, until] as columns series, ts, value, in time order: for replay."""
        sql = """
            SELECT s.series, v.ts, v.value FROM samples v JOIN series s USING (series_id)
            WHERE v.ts > $since AND v.ts <= $until ORDER BY v.ts, s.series, v.recorded_at"""
        return self._engine.columns(sql, {"since": since, "until": until})

    def share_within(
        self, names: Sequence[str], since: datetime, until: datetime, side: str, bound: float
    ) -> tuple[int, int]:
        """Return (good, total) samples of some series in a window; good ones are within the bound."""
        if not names:
            return 0, 0
        test = "value <= $bound" if side == "below" else "value >= $bound"
        numbers = ", ".join(str(series_id(name)) for name in names)
        sql = f"""
            SELECT count(*) FILTER ({test}), count(*) FROM samples
            WHERE series_id IN ({numbers}) AND ts > $since AND ts <= $until"""
        good, total = self._engine.rows(sql, {"since": since, "until": until, "bound": bound})[0]
        return int(good), int(total)

    def latest(self, since: datetime) -> dict[str, tuple[datetime, float]]:
        """Return the newest moment and value of every series with a sample after `since`."""
        sql = """
            SELECT s.series, v.ts, v.value FROM
              (SELECT series_id, max(ts) AS ts, arg_max(value, ts) AS value FROM samples
               WHERE ts > $since GROUP BY series_id) v
            JOIN series s USING (series_id)"""
        return {series: (ts, value) for series, ts, value in self._engine.rows(sql, {"since": since})}

    def prune(self, before: datetime) -> None:
        """Forget raw samples older than a moment."""
        self._engine.rows("DELETE FROM samples WHERE ts < $before", {"before": before})

    def _append_few(self, numbers: Sequence[int], samples: Sequence[Sample], recorded_at: datetime) -> None:
        """Write a handful of rows as one statement: a third of the cost of registering a data frame."""
        stamp = literal(recorded_at)
        rows = ", ".join(
            f"({number}, {literal(sample.ts)}, {literal(sample.value)}, {stamp})"
            for number, sample in zip(numbers, samples, strict=True)
        )
        self._engine.rows(f"INSERT INTO samples VALUES {rows}")

    def _introduce(self, samples: Sequence[Sample]) -> None:
        with self._lock:
            fresh = {s.series: s for s in samples if s.series not in self._known}
            if not fresh:
                return
            rows = ", ".join(
                "("
                + ", ".join(
                    literal(part) for part in (series_id(n), n, s.metric, json.dumps(s.labels), s.unit, self._clock())
                )
                + ")"
                for n, s in fresh.items()
            )
            self._engine.rows(f"INSERT INTO series VALUES {rows} ON CONFLICT DO NOTHING")
            self._known.update(fresh)


def _seen(as_of: datetime | None) -> str:
    return "AND recorded_at <= $as_of" if as_of is not None else ""
