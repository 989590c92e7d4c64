"""Series from CSV and Parquet files, read by DuckDB as whole columns."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from storage.engine.protocol import connect, literal
from storage.errors import ForeactError
from storage.records import series_key
from storage.sample_window import Floats
from storage.samples import SampleColumns, SeriesInfo, series_id

TIME_NAMES = ("timestamp", "time", "ts", "date", "datetime", "ds")
METRIC_NAMES = ("metric", "metric_name", "name", "series")  # the latter two only beside `value`
VALUE, LABELS = "value", "labels"
EMPTY = ("", "na", "n/a", "nan", "null", "none")
MILLISECONDS_FROM = 1e11
MOST_AT_ONCE = 200_000
MOST_NAME_CHARS = 200
READERS = {".parquet": "read_parquet({0}, union_by_name = true)", ".pq": "read_parquet({0}, union_by_name = true)"}
CSV = "read_csv({0}, all_varchar = true, header = true, union_by_name = true, null_padding = true)"


def metric_name_in(columns: Collection[str]) -> str | None:
    """Return which of some columns, in lower case, names the metric; None where none does.

    `name` and `series` do so only beside a column `value`: else they are a label like any other.
    """
    meant = METRIC_NAMES if VALUE in columns else METRIC_NAMES[:2]
    return next((name for name in meant if name in columns), None)


@dataclass(frozen=True)
class FileLayout:
    """Which column holds what, where it is not told by its name; columns that hold no number at all are labels."""

    time_column: str = ""
    metric_column: str = ""
    value_columns: Sequence[str] = ()
    label_columns: Sequence[str] = ()
    metric: str = ""
    timezone: str = "UTC"


@dataclass(frozen=True)
class SeriesColumns:
    """Points of several series as columns: which of `identities`, moment in microseconds since 1970, value."""

    identities: Sequence[tuple[str, dict[str, str]]]
    places: NDArray[np.int64]
    moments_us: NDArray[np.int64]
    values: Floats
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.places)

    def in_parts(self, unit: str = "") -> Iterator[SampleColumns]:
        """Yield them as they are recorded, in parts that travel to the owner of the database at once."""
        told, places = np.unique(self.places, return_inverse=True)
        keyed = [(series_key(*self.identities[place]), *self.identities[place]) for place in told.tolist()]
        series = {name: SeriesInfo(name, metric, labels, unit) for name, metric, labels in keyed}
        numbers = np.array([series_id(name) for name, _, _ in keyed], dtype=np.int64)[places]
        for start in range(0, len(self), MOST_AT_ONCE):
            part = slice(start, start + MOST_AT_ONCE)
            yield SampleColumns(series, numbers[part], self.moments_us[part], self.values[part])


@dataclass
class _Table:
    """The rows of the files in a database of their own, as text or as their file types them."""

    path: str
    layout: FileLayout
    connection: duckdb.DuckDBPyConnection
    columns: Mapping[str, str] = field(default_factory=dict)

    def rows(self, sql: str) -> list[Any]:
        return self.connection.execute(sql).fetchall()

    def unusable(self, why: str) -> ForeactError:
        """Refuse the files."""
        remedy = "It needs a time column, such as `ts`, and either `metric` and `value`, or one column per metric."
        return ForeactError("file_unusable", f"{self.path} cannot be read: {why}.", remedy)


def read_series(
    path: str, layout: FileLayout, since: datetime | None = None, until: datetime | None = None
) -> SeriesColumns:
    """Read the points in (since, until] of a file, or of all that a pattern such as `data/*.parquet` finds.

    Long form: a time, `metric`, `value`, perhaps `labels` as JSON. Wide form: a time and a column per metric. Times are
    ISO 8601, or seconds or milliseconds since 1970. What has no time or is no finite number is left out and counted;
    empty cells are not counted. Raises `file_unusable`.
    """
    with connect(":memory:") as connection:
        table = _Table(path, layout, connection)
        try:
            connection.execute(f"SET TimeZone = {literal(layout.timezone)}")
            reader = READERS.get(Path(path).suffix.lower(), CSV).format(literal(path))
            connection.execute(f"CREATE TEMP TABLE given AS SELECT * FROM {reader}")
            table.columns = {name: kind for name, kind, *_ in table.rows("DESCRIBE given")}
            return _read(table, since, until)
        except duckdb.Error as trouble:
            raise table.unusable(str(trouble).splitlines()[0].rstrip(".")) from None


def _read(table: _Table, since: datetime | None, until: datetime | None) -> SeriesColumns:
    time, metric, values, labels = _columns(table)
    keys = ["m", *(f"k{place}" for place in range(len(labels)))]
    _cut(table, time, metric, values, labels)
    if not table.rows("SELECT count(moment) FROM cut")[0][0]:
        first = table.rows(f"SELECT CAST({_quoted(time)} AS VARCHAR) FROM given LIMIT 1")
        raise table.unusable(f"none of its times can be read, such as {first[0][0]!r}" if first else "it is empty")
    numbered = f"SELECT row_number() OVER () - 1 AS place, * FROM (SELECT DISTINCT {', '.join(keys)} FROM cut)"
    table.connection.execute(f"CREATE TEMP TABLE keys AS {numbered}")
    known = table.rows("SELECT * FROM keys ORDER BY place")
    if metric and not all(0 < len(said) <= MOST_NAME_CHARS for _, said, *_ in known):
        raise table.unusable(f"a row names no metric, or one of more than {MOST_NAME_CHARS} characters")
    within = f"moment > {literal(since)}" if since else "moment IS NOT NULL"
    within += f" AND moment <= {literal(until)}" if until else ""
    parts, identities = [], list[tuple[str, dict[str, str]]]()
    for number, name in enumerate(values):
        sql = f"""SELECT place + {len(identities)} AS place, epoch_us(moment) AS moment, v{number} AS value
                  FROM cut JOIN keys USING ({", ".join(keys)}) WHERE {within} AND v{number} IS NOT NULL"""
        parts.append(table.connection.execute(sql).fetchnumpy())
        own = table.layout.metric or (Path(table.path).stem if name.lower() == VALUE else name)
        is_named = len(values) == 1 and metric
        identities += [(said if is_named else own, _labels(table, labels, texts)) for _, said, *texts in known]
    wrong = [f"count(*) FILTER (f{n} AND (v{n} IS NULL OR moment IS NULL))" for n in range(len(values))]
    left_out = table.rows(f"SELECT {' + '.join(wrong)} FROM cut")[0][0]
    place, moment, value = (
        np.concatenate([np.ma.getdata(part[name]) for part in parts]) for name in ("place", "moment", "value")
    )
    return SeriesColumns(identities, place, moment, value.astype(float), left_out)


def _cut(table: _Table, time: str, metric: str, values: Sequence[str], labels: Sequence[str]) -> None:
    """Make a table of moment, metric, labels and, for each value, what it is and whether there is anything at all."""
    keys = [f"coalesce(trim(CAST({_quoted(name)} AS VARCHAR)), '') AS k{place}" for place, name in enumerate(labels)]
    named = f"coalesce(trim(CAST({_quoted(metric)} AS VARCHAR)), '')" if metric else "''"
    cells = [f"{_value(name)} AS v{n}, {_is_full(name)} AS f{n}" for n, name in enumerate(values)]
    columns = ", ".join([f"{_moment(table, time)} AS moment", f"{named} AS m", *keys, *cells])
    table.connection.execute(f"CREATE TEMP TABLE cut AS SELECT {columns} FROM given")


def _columns(table: _Table) -> tuple[str, str, list[str], list[str]]:
    """Return which column is the time and which the metric's name, and those that are values and labels."""
    lower = {name.strip().lower(): name for name in table.columns}
    layout, names = table.layout, list(table.columns)
    meant = [layout.time_column, layout.metric_column, *layout.value_columns, *layout.label_columns]
    unknown = [name for name in meant if name and name not in table.columns]
    if unknown:
        raise table.unusable(f"it has no column {unknown[0]!r}; it has {', '.join(names[:20])}")
    time = layout.time_column or next((lower[name] for name in TIME_NAMES if name in lower), "")
    if not time:
        raise table.unusable(f"it has no column named {', '.join(TIME_NAMES[:-1])} or {TIME_NAMES[-1]}")
    is_long = VALUE in lower and not layout.value_columns
    found = metric_name_in(lower) if is_long else None
    metric = layout.metric_column or (lower[found] if found else "")
    rest = [name for name in names if name not in {time, metric, *layout.label_columns}]
    numbers = [name for name in rest if name != lower.get(LABELS) and _has_numbers(table, name)]
    values = [lower[VALUE]] if is_long else list(layout.value_columns) or numbers
    if not values:
        raise table.unusable("it has no column of numbers")
    others = [] if layout.value_columns else [name for name in rest if name not in values and name not in numbers]
    return time, metric, values, [*layout.label_columns, *others]


def _has_numbers(table: _Table, name: str) -> bool:
    if table.columns[name] == "VARCHAR":
        return bool(table.rows(f"SELECT count({_value(name)}) > 0 FROM given")[0][0])
    return bool(table.rows(f"SELECT count(TRY_CAST({_quoted(name)} AS DOUBLE)) > 0 FROM given LIMIT 1")[0][0])


def _moment(table: _Table, name: str) -> str:
    """Return the SQL of a moment: a number of seconds or milliseconds, or what a calendar and a clock say."""
    column = _quoted(name)
    if table.columns[name].startswith(("TIMESTAMP", "DATE")):
        return f"CAST({column} AS TIMESTAMPTZ)"
    # Eight digits are a date of the calendar: as seconds they would all lie in 1970.
    text = f"trim(CAST({column} AS VARCHAR))"
    number = f"TRY_CAST({text} AS DOUBLE)"
    micros = f"round({number} * if(abs({number}) >= {MILLISECONDS_FROM}, 1e3, 1e6))"
    return f"""CASE WHEN regexp_full_match({text}, '[0-9]{{8}}')
        THEN TRY_CAST(try_strptime({text}, '%Y%m%d') AS TIMESTAMPTZ)
        WHEN {number} IS NULL THEN TRY_CAST({text} AS TIMESTAMPTZ)
        WHEN abs({number}) < 9e12 THEN make_timestamptz(CAST({micros} AS BIGINT)) END"""


def _value(name: str) -> str:
    number = f"TRY_CAST({_quoted(name)} AS DOUBLE)"
    return f"if(isfinite({number}), {number}, NULL)"


def _is_full(name: str) -> str:
    text = f"lower(trim(CAST({_quoted(name)} AS VARCHAR)))"
    return f"coalesce({text} NOT IN ({', '.join(map(literal, EMPTY))}), FALSE)"


def _labels(table: _Table, names: Sequence[str], texts: Sequence[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for name, text in zip(names, texts, strict=True):
        if name.strip().lower() == LABELS and text.startswith("{"):
            try:
                labels |= {str(key): str(value) for key, value in json.loads(text).items()}
            except ValueError:
                raise table.unusable(f"its labels are not a JSON object: {text[:60]}") from None
        elif text:
            labels[name.strip()] = text
    return labels


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
