"""Samples from a CSV file: a column of timestamps and one or more columns of values."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TextIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from handlers.contract.source import source
from storage.errors import ForeactError
from storage.records import Sample

TIME_NAMES = ("timestamp", "time", "ts", "date", "datetime", "ds")
METRIC_NAMES = ("metric", "metric_name")
EMPTY = {"", "na", "n/a", "nan", "null", "none"}
SNIFFED_CHARS = 8_192
MILLISECONDS_FROM = 1e11


@dataclass(frozen=True)
class _Layout:
    """Which column holds what: the time, the values, the metric's name where a column has it, the labels."""

    time: int
    values: Mapping[int, str]
    metric: int | None
    labels: Mapping[int, str]


@source(
    name="csv_file",
    interval_s=3_600.0,
    options={
        "path": "the file",
        "time_column": "name of the time column; usually detected",
        "value_columns": "names of the value columns; by default all others",
        "metric_column": "name of the column with the metric's name, if there is one",
        "label_columns": "names of the label columns",
        "metric": "name of the metric if there is one value column",
        "timezone": "time zone of times without one; UTC",
        "unit": "unit of the values",
        "on_bad_row": "refuse, or skip rows that cannot be read; refuse",
    },
)
def csv_file(options: Mapping[str, Any], since: datetime | None, until: datetime) -> Iterable[Sample]:
    """Read the rows of the CSV file `path` whose time lies after `since` and not after `until`.

    Raises ForeactError naming the line where something is wrong.
    """
    path = Path(str(options.get("path", "")))
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from _rows(file, path, options, since, until)
    except OSError as error:
        message = f"The file {path} cannot be read: {error.strerror}."
        raise ForeactError("csv_unreadable", message, "Give the path of a CSV file.") from error
    except csv.Error as error:
        raise ForeactError("csv_bad_row", f"The file {path} is not valid CSV: {error}.", "Correct the file.") from error
    except UnicodeDecodeError as error:
        raise ForeactError("csv_encoding", f"The file {path} is not UTF-8 text.", "Convert it to UTF-8.") from error


def _rows(
    file: TextIO, path: Path, options: Mapping[str, Any], since: datetime | None, until: datetime
) -> Iterator[Sample]:
    zone = _zone(options)
    reader = csv.reader(file, delimiter=_delimiter(file))
    first = next(reader, None)
    if first is None:
        raise ForeactError("csv_empty", f"The file {path} is empty.", "Give a file with timestamps and values.")
    has_header = _time_of(first[0] if first else "", zone) is None
    layout = _layout(first if has_header else [], len(first), path, options)
    rows: Iterable[list[str]] = reader if has_header else chain([first], reader)
    for line, row in enumerate(rows, start=2 if has_header else 1):
        if not any(cell.strip() for cell in row):
            continue
        try:
            samples = list(_samples(row, layout, zone, str(options.get("unit", ""))))
        except (ValueError, IndexError) as error:
            if options.get("on_bad_row", "refuse") == "skip":
                continue
            reason = str(error).splitlines()[0]
            message = f"Line {line} of {path} cannot be read: {reason}."
            raise ForeactError("csv_bad_row", message, "Correct the line, or set on_bad_row = 'skip'.") from error
        for sample in samples:
            if (since is None or sample.ts > since) and sample.ts <= until:
                yield sample


def _samples(row: list[str], layout: _Layout, zone: tzinfo, unit: str) -> Iterator[Sample]:
    ts = _time_of(row[layout.time], zone)
    if ts is None:
        raise ValueError(f"{row[layout.time]!r:.40} is not a time")
    labels = {name: row[column].strip() for column, name in layout.labels.items()}
    for column, name in layout.values.items():
        text = row[column].strip()
        if text.lower() in EMPTY:
            continue
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{text} is not a finite number")
        metric = row[layout.metric].strip() if layout.metric is not None else name
        yield Sample(metric=metric, value=value, ts=ts, labels=labels, unit=unit)


def _layout(header: list[str], width: int, path: Path, options: Mapping[str, Any]) -> _Layout:
    names = [name.strip() for name in header] or ["timestamp", "value", *(f"value_{i}" for i in range(2, width))]
    if width < 2:
        raise ForeactError(
            "csv_columns", f"The file {path} has one column only.", "It needs a time column and a value column."
        )
    lower = [name.lower() for name in names]
    time = _column(names, options.get("time_column"), path)
    if time is None:
        time = next((lower.index(name) for name in TIME_NAMES if name in lower), 0)
    metric = _column(names, options.get("metric_column"), path)
    if metric is None:
        metric = next((lower.index(name) for name in METRIC_NAMES if name in lower), None)
    label_names = options.get("label_columns") or ()
    labels = {column: name for name in label_names if (column := _column(names, name, path)) is not None}
    others = [column for column in range(len(names)) if column not in {time, metric, *labels}]
    columns = [_column(names, name, path) for name in options.get("value_columns") or ()]
    values = [column for column in columns if column is not None] or others
    if not values:
        raise ForeactError("csv_columns", f"The file {path} has no value column.", "Name one in value_columns.")
    single = str(options.get("metric") or (path.stem if lower[values[0]] == "value" else names[values[0]]))
    return _Layout(time, {values[0]: single} if len(values) == 1 else {c: names[c] for c in values}, metric, labels)


def _column(names: list[str], column: Any, path: Path) -> int | None:
    if column is None:
        return None
    if column not in names:
        message = f"The file {path} has no column {column!r}; it has {names}."
        raise ForeactError("csv_columns", message, "Use one of its columns.")
    return names.index(column)


def _time_of(text: str, zone: tzinfo) -> datetime | None:
    """Read ISO 8601, or seconds or milliseconds since 1970; None where it is neither."""
    text = text.strip()
    try:
        # Eight digits are a date of the calendar: as seconds they would all lie in 1970.
        number = math.nan if len(text) == 8 and text.isdecimal() else float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    try:
        return datetime.fromtimestamp(number / 1_000 if abs(number) >= MILLISECONDS_FROM else number, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _delimiter(file: TextIO) -> Literal[",", ";", "\t", "|"]:
    first_line = file.read(SNIFFED_CHARS).partition("\n")[0]
    file.seek(0)
    candidates: tuple[Literal[",", ";", "\t", "|"], ...] = (",", ";", "\t", "|")
    return max(candidates, key=first_line.count)


def _zone(options: Mapping[str, Any]) -> tzinfo:
    name = str(options.get("timezone", "UTC"))
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        message = f"There is no time zone {name!r}."
        raise ForeactError("csv_timezone", message, "Use a name like 'Europe/Berlin'.") from error
