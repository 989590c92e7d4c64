"""Samples: bulk columns in, regular frames out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from storage.engine.protocol import Columns, Engine, Followed, literal
from storage.records import Frame, Sample
from storage.sample_window import Rows, SampleWindow, SeriesInfo, micros, read_rows, series_id
from storage.table import Clock, append_few, whole_day

__all__ = ["SampleTable", "SampleWindow", "SeriesInfo", "series_id"]


SOON_LOOKED_THROUGH = 200_000
"""More kept rows than these take longer to look through than to read the few that are asked for."""
MOST_FOLLOWED = 1_000_000
"""More rows than these are read anew in every turn: laying new ones beside them would take as long."""


@dataclass(frozen=True)
class RowsSince:
    """All samples later than a moment."""

    since: datetime
    rows: Rows


class SampleTable:
    """The `samples` and `series` tables."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._introduced: set[str] = set()
        self._followed = Followed(("samples",), self._read_since, _with_later, widen=lambda since: (whole_day(since),))

    def append(self, samples: Sequence[Sample]) -> int:
        """Record samples; durable when this returns. Returns how many."""
        if not samples:
            return 0
        self._introduce(samples)
        recorded_at = self._clock()
        numbers = [series_id(sample.series) for sample in samples]
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
        columns: dict[str, Any] = {
            "series_id": np.asarray(numbers, dtype=np.int64),
            "ts": np.array([micros(moment) for moment in moments], dtype="datetime64[us]"),
            "value": np.asarray(values, dtype=float),
            "recorded_at": [recorded_at] * len(numbers),
        }
        append_few(self._engine, "samples", columns)

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

    def _introduce(self, samples: Sequence[Sample]) -> None:
        fresh = {s.series: s for s in samples if s.series not in self._introduced}
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
        # What a transaction introduced may be taken back with it.
        if not self._engine.in_transaction:
            self._introduced.update(fresh)


def _with_later(known: RowsSince, table: str, new: Columns) -> RowsSince | None:
    if len(known.rows) >= MOST_FOLLOWED:
        return None
    numbers, moments, values = (np.asarray(new[name]) for name in ("series_id", "ts", "value"))
    more = known.rows.with_later(Rows(numbers, moments.astype(np.int64), values))
    return None if more is None else RowsSince(known.since, more)
