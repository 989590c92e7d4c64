"""Series from CSV and Parquet files, read by DuckDB as whole columns."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
from numpy.typing import NDArray

from storage.engine.protocol import connect, literal
from storage.errors import ForeactError
from storage.files.local_times import LocalTimes
from storage.records import series_key
from storage.sample_window import Floats
from storage.samples import SampleColumns, SeriesInfo, series_id

TIME_NAMES = ("timestamp", "time", "ts", "date", "datetime", "ds")
METRIC_NAMES = ("metric", "metric_name", "name", "series")  # the latter two only beside `value`
VALUE, LABELS, UNIT = "value", "labels", "unit"
EMPTY = ("", "na", "n/a", "nan", "null", "none")
MILLISECONDS_FROM = 1e11
MOST_AT_ONCE = 200_000
MOST_NAME_CHARS = 200
MOST_NAMED = 3
ZONED = ":[0-9.]+ *(Z|z|[+-][0-9]{2}.*|[A-Za-z].*)$"
"""How a time of the day ends that names its zone."""
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
    """Which column holds what, where it is not told by its name.

    Beside a metric's name and a value all other columns are labels, else those that hold no number at all.
    """

    time_column: str = ""
    metric_column: str = ""
    value_columns: Sequence[str] = ()
    label_columns: Sequence[str] = ()
    metric: str = ""
    timezone: str = "UTC"


@dataclass(frozen=True)
class SeriesColumns:
    """Points of several series as columns: which of `identities`, moment in microseconds since 1970, value.

    `rows` says in which row of the files each stood, `units` the unit of each identity. `first_left_out` tells of the
    first rows that could not be used; `clock` of times that a local clock shows twice or never. `is_wide`: a column a
    metric; `names_zone`: the first time says where.
    """

    identities: Sequence[tuple[str, dict[str, str]]]
    places: NDArray[np.int64]
    moments_us: NDArray[np.int64]
    values: Floats
    rows: NDArray[np.int64]
    units: Sequence[str]
    left_out: int = 0
    first_left_out: tuple[str, ...] = ()
    clock: str = ""
    is_wide: bool = False
    names_zone: bool = True

    def __len__(self) -> int:
        return len(self.places)

    def where(self, kept: NDArray[np.bool_] | NDArray[np.int64]) -> SeriesColumns:
        """Return some of the points, by a mask or by their numbers."""
        points = {name: getattr(self, name)[kept] for name in ("places", "moments_us", "values", "rows")}
        return replace(self, **points)

    def in_parts(self, unit: str = "") -> Iterator[SampleColumns]:
        """Yield them as they are recorded, in parts that travel to the owner of the database at once."""
        told, places = np.unique(self.places, return_inverse=True)
        keyed = [
            (series_key(*self.identities[place]), *self.identities[place], unit or self.units[place])
            for place in told.tolist()
        ]
        series = {name: SeriesInfo(name, metric, labels, own) for name, metric, labels, own in keyed}
        numbers = np.array([series_id(name) for name, *_ in keyed], dtype=np.int64)[places]
        for start in range(0, len(self), MOST_AT_ONCE):
            part = slice(start, start + MOST_AT_ONCE)
            yield SampleColumns(series, numbers[part], self.moments_us[part], self.values[part])


@dataclass(frozen=True)
class _Meant:
    """The names of the columns by what they hold; `metric` and `unit` are empty where there is none."""

    time: str
    metric: str
    values: Sequence[str]
    labels: Sequence[str]
    unit: str

    @property
    def keys(self) -> list[str]:
        """Return the names under which what tells series apart is kept: metric, unit, and each label."""
        return ["m", "u", *(f"k{place}" for place in range(len(self.labels)))]


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

    Long form: a time, `metric`, `value`, perhaps `labels` as JSON and `unit`; every other column is a label. Wide form:
    a time and a column per metric; columns without numbers are labels. Times are ISO 8601, or seconds or milliseconds
    since 1970. What has no time, names no metric or is no finite number is left out and counted; empty cells are not
    counted. Raises `file_unusable`.
    """
    with connect(":memory:") as connection:
        table = _Table(path, layout, connection)
        try:
            connection.execute(f"SET TimeZone = {literal(layout.timezone)}")
            reader = READERS.get(Path(path).suffix.lower(), CSV).format(literal(path))
            # Of points of one moment the last row counts, and order tells the passes of a doubled hour apart: several
            # threads made a table of another order.
            connection.execute("SET threads = 1")
            connection.execute(f"CREATE TEMP TABLE given AS SELECT * FROM {reader}")
            connection.execute("RESET threads")
            described = enumerate(table.rows("DESCRIBE given"))
            table.columns = {name: kind for place, (name, kind, *_) in described if not is_nameless(name, place)}
            return _read(table, since, until)
        except duckdb.Error as trouble:
            raise table.unusable(str(trouble).splitlines()[0].rstrip(".")) from None


def is_nameless(name: str, place: int) -> bool:
    """Tell whether a column has a name by its place alone, as the index of a table that pandas wrote."""
    return name in {f"column{place}", f"Unnamed: {place}"} or name.startswith("__index_level_")


def _read(table: _Table, since: datetime | None, until: datetime | None) -> SeriesColumns:
    meant = _columns(table)
    _cut(table, meant)
    if not table.rows("SELECT count(moment) FROM cut")[0][0]:
        first = table.rows(f"SELECT CAST({_quoted(meant.time)} AS VARCHAR) FROM given LIMIT 1")
        raise table.unusable(f"none of its times can be read, such as {first[0][0]!r}" if first else "it is empty")
    clock = _tell_doubled_hours_apart(table, meant)
    keys = ", ".join(meant.keys)
    numbered = f"SELECT row_number() OVER () - 1 AS place, * FROM (SELECT DISTINCT {keys} FROM cut WHERE named)"
    table.connection.execute(f"CREATE TEMP TABLE keys AS {numbered}")
    known = table.rows("SELECT * FROM keys ORDER BY place")
    if not known:
        why = f"names a metric in at most {MOST_NAME_CHARS} characters, with labels that are a JSON object if any"
        raise table.unusable(f"no row {why}")
    within = f"moment > {literal(since)}" if since else "moment IS NOT NULL"
    within += f" AND moment <= {literal(until)}" if until else ""
    parts, identities, units = [], list[tuple[str, dict[str, str]]](), list[str]()
    for number, name in enumerate(meant.values):
        cells = f"place + {len(identities)} AS place, epoch_us(moment) AS moment, v{number} AS value, cut.row AS row"
        sql = f"SELECT {cells} FROM cut JOIN keys USING ({keys}) WHERE {within} AND v{number} IS NOT NULL"
        parts.append(table.connection.execute(sql).fetchnumpy())
        own = table.layout.metric or (Path(table.path).stem if name.lower() == VALUE else name)
        is_named = len(meant.values) == 1 and meant.metric
        identities += [(said if is_named else own, _labels(meant.labels, texts)) for _, said, _, *texts in known]
        units += [unit for _, _, unit, *_ in known]
    place, moment, value, row = (
        np.concatenate([np.ma.getdata(part[name]) for part in parts]) for name in ("place", "moment", "value", "row")
    )
    left_out, named = _left_out(table, meant)
    values = value.astype(float)
    names_zone = not table.rows(f"SELECT {_local(table, meant.time)} IS NOT NULL FROM given LIMIT 1")[0][0]
    told = (left_out, named, clock, not meant.metric, names_zone)
    return SeriesColumns(identities, place, moment, values, row, units, *told)


def _left_out(table: _Table, meant: _Meant) -> tuple[int, tuple[str, ...]]:
    """Return how many cells hold something that cannot be used, and the first of them in words."""
    is_wrong = [f"f{n} AND (v{n} IS NULL OR moment IS NULL OR NOT named)" for n in range(len(meant.values))]
    count = table.rows(f"SELECT {' + '.join(f'count(*) FILTER ({wrong})' for wrong in is_wrong)} FROM cut")[0][0]
    first: list[tuple[int, str, str]] = []
    for wrong, name in zip(is_wrong, meant.values, strict=True) if count else ():
        rows = table.rows(f"SELECT row FROM cut WHERE {wrong} ORDER BY row LIMIT {MOST_NAMED}")
        cells = f"CAST({_quoted(name)} AS VARCHAR), CAST({_quoted(meant.time)} AS VARCHAR)"
        for (row,) in rows:
            first += table.rows(f"SELECT rowid, {cells} FROM given WHERE rowid = {row}")
    first = sorted(first, key=lambda each: each[0])[:MOST_NAMED]
    return count, tuple(told_row(*each) for each in first)


def told_row(row: int, value: object, at: object) -> str:
    """Return in words which row of a file, counted from 0 below its header, cannot be used."""
    return ascii(f"row {row + 1}: {value!s:.20} at {at!s:.30}")[1:-1]


def _cut(table: _Table, meant: _Meant) -> None:
    """Make a table of row, moment, metric, unit, labels and, for each value, what it is and whether there is anything.

    `named` tells whether metric and labels can be used, `local` is a time that names no zone, by its own clock.
    """
    keys = [f"{_text(name)} AS k{place}" for place, name in enumerate(meant.labels)]
    name, unit = (_text(column) if column else "''" for column in (meant.metric, meant.unit))
    named = f"length({name}) BETWEEN 1 AND {MOST_NAME_CHARS}" if meant.metric else "TRUE"
    for text in (_text(label) for label in meant.labels if label.strip().lower() == LABELS):
        named += (
            f" AND (NOT starts_with({text}, '{{') OR coalesce(json_type(TRY_CAST({text} AS JSON)) = 'OBJECT', FALSE))"
        )
    cells = [f"{_value(name)} AS v{n}, {_is_full(name)} AS f{n}" for n, name in enumerate(meant.values)]
    local = "CAST(NULL AS TIMESTAMP)" if table.layout.timezone == "UTC" else _local(table, meant.time)
    times = f"{_moment(table, meant.time)} AS moment, {local} AS local"
    columns = ", ".join(["rowid AS row", times, f"{named} AS named", f"{name} AS m", f"{unit} AS u", *keys, *cells])
    table.connection.execute(f"CREATE TEMP TABLE cut AS SELECT {columns} FROM given")


def _tell_doubled_hours_apart(table: _Table, meant: _Meant) -> str:
    """Read times of the hour that a local clock shows twice by the order of rows; return in words what is unclear."""
    zone = ZoneInfo(table.layout.timezone)
    first, last = table.rows("SELECT min(local), max(local) FROM cut")[0]
    times, keys = LocalTimes(zone), ", ".join(meant.keys)
    for day in _uneven_days(first, last, zone) if first else ():
        around = f"local BETWEEN {literal(day - timedelta(days=1))} AND {literal(day + timedelta(days=2))}"
        rows = table.rows(f"SELECT row, local, {keys} FROM cut WHERE {around} ORDER BY row")
        read = {"row": [row for row, *_ in rows], "at": [times.read(local, tuple(key)) for _, local, *key in rows]}
        moved = np.array(read["row"]), np.array([at.replace(tzinfo=None) for at in read["at"]], dtype="datetime64[us]")
        by_clock = dict(zip(("row", "at"), moved, strict=True))  # DuckDB reads it by its name
        table.connection.register("by_clock", by_clock)
        table.connection.execute(
            "UPDATE cut SET moment = b.at AT TIME ZONE 'UTC' FROM by_clock b WHERE cut.row = b.row"
        )
        table.connection.unregister("by_clock")
    return times.told()


def _uneven_days(first: datetime, last: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Yield the days, as their midnight without a zone, in which a clock is set forward or back."""
    day = first.replace(hour=0, minute=0, second=0, microsecond=0)
    while day <= last:
        following = day + timedelta(days=1)
        if day.replace(tzinfo=zone).utcoffset() != following.replace(tzinfo=zone).utcoffset():
            yield day
        day = following


def _columns(table: _Table) -> _Meant:
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
    has_value = VALUE in lower and not layout.value_columns
    found = metric_name_in(lower) if has_value else None
    metric = layout.metric_column or (lower[found] if found else "")
    is_long = has_value and bool(metric)
    unit = lower.get(UNIT, "") if is_long and lower.get(UNIT) not in layout.label_columns else ""
    rest = [name for name in names if name not in {time, metric, unit, *layout.label_columns}]
    if is_long:
        values = [lower[VALUE]]
    else:
        numbers = [name for name in rest if name != lower.get(LABELS) and _has_numbers(table, name)]
        values = list(layout.value_columns) or numbers
    if not values:
        has_rows = table.rows("SELECT count(*) > 0 FROM given")[0][0]
        raise table.unusable("it has no column of numbers" if has_rows else "it is empty")
    others = [] if layout.value_columns else [name for name in rest if name not in values]
    return _Meant(time, metric, values, [*layout.label_columns, *others], unit)


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


def _local(table: _Table, name: str) -> str:
    """Return the SQL of a time that names no zone as its clock shows it; NULL for others."""
    if table.columns[name].startswith("TIMESTAMP WITH"):
        return "CAST(NULL AS TIMESTAMP)"
    column = _quoted(name)
    if table.columns[name].startswith(("TIMESTAMP", "DATE")):
        return f"CAST({column} AS TIMESTAMP)"
    text = f"trim(CAST({column} AS VARCHAR))"
    return f"if(regexp_matches({text}, '{ZONED}'), NULL, TRY_CAST({text} AS TIMESTAMP))"


def _text(name: str) -> str:
    return f"coalesce(trim(CAST({_quoted(name)} AS VARCHAR)), '')"


def _value(name: str) -> str:
    number = f"TRY_CAST({_quoted(name)} AS DOUBLE)"
    return f"if(isfinite({number}), {number}, NULL)"


def _is_full(name: str) -> str:
    text = f"lower(trim(CAST({_quoted(name)} AS VARCHAR)))"
    return f"coalesce({text} NOT IN ({', '.join(map(literal, EMPTY))}), FALSE)"


def _labels(names: Sequence[str], texts: Sequence[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for name, text in zip(names, texts, strict=True):
        if name.strip().lower() == LABELS and text.startswith("{"):
            labels |= {str(key): str(value) for key, value in json.loads(text).items()}
        elif text:
            labels[name.strip()] = text
    return labels


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
