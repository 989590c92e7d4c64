"""Samples as files: what is recorded, day by day, as CSV or Parquet, and rows of a Parquet file as text."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from storage.engine.protocol import Engine, connect, literal
from storage.errors import ForeactError

FORMS = {".csv": "FORMAT csv, HEADER", ".parquet": "FORMAT parquet, COMPRESSION zstd"}
DAY = timedelta(days=1)


@dataclass(frozen=True)
class SampleFile:
    """What was written: rows, one a sample, and bytes."""

    file: Path
    rows: int
    size_bytes: int


def export_samples(
    engine: Engine,
    file: Path,
    since: datetime,
    until: datetime,
    series: Sequence[str] | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> SampleFile:
    """Write the samples in (since, until] of all series or of some, in time order, into a new file.

    Columns: `ts` in UTC, `metric`, `value`, `labels` as JSON, `unit`; of samples with equal series and moment the one
    recorded last. The process that owns the database writes it, a day at a time, so that neither it nor this one needs
    room for more. Raises `file_exists`, `form_unknown` or `export_failed`.
    """
    form = FORMS.get(file.suffix.lower())
    if form is None:
        raise ForeactError("form_unknown", f"{file.name} has no known form.", "Name it FILE.csv or FILE.parquet.")
    if file.exists():
        raise ForeactError("file_exists", f"{file} exists already.", "Choose another name.", status=409)
    file = file.resolve()
    parts = file.with_name(f".{file.name}.{secrets.token_hex(4)}.parts")
    draft = parts / f"whole{file.suffix}"
    try:
        parts.mkdir(mode=0o700)
        rows = _write_parts(engine, parts, since, until, series, advance)
        days = literal(sorted(map(str, parts.glob("day-*.parquet"))))
        engine.rows(f"COPY (SELECT {_COLUMNS} FROM read_parquet({days})) TO {literal(str(draft))} ({form})")
        draft.replace(file)
    except (duckdb.Error, OSError) as trouble:
        line = str(trouble).splitlines()[0]
        remedy = "Choose a folder that exists, is writable and has room."
        raise ForeactError("export_failed", f"{file} could not be written: {line}.", remedy, status=507) from None
    finally:
        with suppress(OSError):
            shutil.rmtree(parts)
    return SampleFile(file, rows, file.stat().st_size)


_COLUMNS = "strftime(ts AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ') AS ts, metric, value, labels, unit"


def _write_parts(
    engine: Engine,
    parts: Path,
    since: datetime,
    until: datetime,
    series: Sequence[str] | None,
    advance: Callable[[int, int], None],
) -> int:
    """Write the samples of each day into a file of its own, at least one; return how many there are."""
    meant = "ts > $since AND ts <= $until"
    if series is not None:
        meant += (
            f" AND series_id IN (SELECT series_id FROM series WHERE list_contains({literal(list(series))}, series))"
        )
    ((first, last, rows),) = engine.rows(
        f"SELECT min(ts), max(ts), count(DISTINCT (series_id, ts)) FROM samples WHERE {meant}",
        {"since": since, "until": until},
    )
    start = since if first is None else first - timedelta(microseconds=1)
    days = 1 if last is None else max(1, -(-(last - start) // DAY))
    for day in range(days):
        span = {"since": max(since, start + day * DAY), "until": min(until, start + (day + 1) * DAY)}
        sql = f"""
            COPY (SELECT v.ts, s.metric, v.value, s.labels, s.unit FROM
                    (SELECT series_id, ts, arg_max(value, recorded_at) AS value FROM samples
                     WHERE {meant} GROUP BY series_id, ts) v
                  JOIN series s USING (series_id) ORDER BY v.ts, s.series)
            TO {literal(str(parts / f"day-{day:06d}.parquet"))} (FORMAT parquet)"""
        engine.rows(sql, span)
        advance(day + 1, days)
    return int(rows)


def parquet_rows(file: Path, at_once: int) -> Iterator[tuple[list[str], list[tuple[Any, ...]]]]:
    """Yield the columns and rows of a Parquet file as text, None where a value is missing; raises ValueError."""
    try:
        with closing(connect(":memory:")) as connection:
            cursor = connection.execute(f"SELECT COLUMNS(*)::VARCHAR FROM read_parquet({literal(str(file))})")
            names = [str(column[0]) for column in cursor.description or ()]
            while rows := cursor.fetchmany(at_once):
                yield names, rows
    except duckdb.Error as trouble:
        raise ValueError(str(trouble).splitlines()[0]) from None
