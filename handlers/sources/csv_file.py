"""Samples from a CSV file: a column of timestamps and one or more columns of values."""

from __future__ import annotations

import csv
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal, TextIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from handlers.contract.source import source
from handlers.contract.source_options import NO_TEXTS, option
from storage.errors import ForeactError
from storage.files.data_files import EMPTY, MILLISECONDS_FROM, TIME_NAMES, metric_name_in
from storage.files.local_times import LocalTimes
from storage.records import Sample

logger = logging.getLogger(__name__)

SNIFFED_CHARS = 8_192


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
        "on_bad_row": "rows that cannot be read: refuse (name them once the others are read) or skip; refuse",
    },
    late_s=86_400.0,
)
def csv_file(options: Mapping[str, Any], since: datetime | None, until: datetime) -> Iterable[Sample]:
    """Read the rows of the CSV file `path` whose time lies after `since` and not after `until`.

    Raises ForeactError where the file cannot be used, and after the last row where lines could not be read, naming
    the first of them.
    """
    path = Path(option(options, "path", ""))
    try:
        # Bytes that are no UTF-8 spoil their line and no other.
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            yield from _rows(file, path, options, since, until)
    except OSError as error:
        message = f"The file {path} cannot be read: {error.strerror}."
        raise ForeactError("csv_unreadable", message, "Give the path of a CSV file.") from error
    except csv.Error as error:
        raise ForeactError("csv_bad_row", f"The file {path} is not valid CSV: {error}.", "Correct the file.") from error


def _rows(
    file: TextIO, path: Path, options: Mapping[str, Any], since: datetime | None, until: datetime
) -> Iterator[Sample]:
    zone = _zone(options)
    reader = csv.reader(file, delimiter=_delimiter(file))
    first = next(reader, None)
    if first is None:
        raise ForeactError("csv_empty", f"The file {path} is empty.", "Give a file with timestamps and values.")
    has_header = _time_of(first[0] if first else "") is None
    layout = _layout(first if has_header else [], len(first), path, options)
    rows = _lines(reader) if has_header else chain([(1, first, "")], _lines(reader))
    bad: list[str] = []
    times, unit = LocalTimes(zone), option(options, "unit", "")
    for line, row, why in rows:
        if not why and not any(cell.strip() for cell in row):
            continue
        try:
            if why:
                raise ValueError(why)
            samples = list(_samples(row, layout, times, unit))
        except (ValueError, IndexError) as error:
            bad.append(f"Line {line} of {path} cannot be read: {str(error).splitlines()[0]}")
            continue
        for sample in samples:
            if (since is None or sample.ts > since) and sample.ts <= until:
                yield sample
    if trouble := times.told():
        logger.warning("%s: %s", path, trouble)
    if bad and option(options, "on_bad_row", "refuse") != "skip":
        message = f"{bad[0]}{f'; nor can {len(bad) - 1} other lines' if len(bad) > 1 else ''}."
        raise ForeactError("csv_bad_row", message, "Correct the line, or set on_bad_row = 'skip'.")


def _lines(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str], str]]:
    """Yield the number of each line after the first, its cells, and why it cannot be read if that is so."""
    for line in count(2):
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, [], f"not valid CSV: {error}"
            continue
        is_text = all(cell.isascii() or cell.encode("utf-8", "replace").decode() == cell for cell in row)
        yield line, row, "" if is_text else "not UTF-8 text"


def _samples(row: list[str], layout: _Layout, times: LocalTimes, unit: str) -> Iterator[Sample]:
    moment = _time_of(row[layout.time])
    if moment is None:
        raise ValueError(f"{row[layout.time]!r:.40} is not a time")
    labels = {name: row[column].strip() for column, name in layout.labels.items()}
    named = row[layout.metric].strip() if layout.metric is not None else ""
    try:
        ts = times.read(moment, (named, *labels.values()))
    except OverflowError as error:
        raise ValueError(f"{row[layout.time]!r:.40} is beyond the calendar") from error
    for column, name in layout.values.items():
        text = row[column].strip()
        if text.lower() in EMPTY:
            continue
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{text} is not a finite number")
        metric = named if layout.metric is not None else name
        yield Sample(metric=metric, value=value, ts=ts, labels=labels, unit=unit)


def _layout(header: list[str], width: int, path: Path, options: Mapping[str, Any]) -> _Layout:
    names = [name.strip() for name in header] or ["timestamp", "value", *(f"value_{i}" for i in range(2, width))]
    if width < 2:
        raise ForeactError(
            "csv_columns", f"The file {path} has one column only.", "It needs a time column and a value column."
        )
    lower = [name.lower() for name in names]
    time = _column(names, option(options, "time_column", ""), path)
    if time is None:
        time = next((lower.index(name) for name in TIME_NAMES if name in lower), 0)
    metric = _column(names, option(options, "metric_column", ""), path)
    if metric is None:
        found = metric_name_in(lower)
        metric = lower.index(found) if found else None
    label_names = option(options, "label_columns", NO_TEXTS)
    labels = {column: name for name in label_names if (column := _column(names, name, path)) is not None}
    others = [column for column in range(len(names)) if column not in {time, metric, *labels}]
    columns = [_column(names, name, path) for name in option(options, "value_columns", NO_TEXTS)]
    values = [column for column in columns if column is not None] or others
    if not values:
        raise ForeactError("csv_columns", f"The file {path} has no value column.", "Name one in value_columns.")
    single = option(options, "metric", "") or (path.stem if lower[values[0]] == "value" else names[values[0]])
    return _Layout(time, {values[0]: single} if len(values) == 1 else {c: names[c] for c in values}, metric, labels)


def _column(names: list[str], column: str, path: Path) -> int | None:
    if not column:
        return None
    if column not in names:
        message = f"The file {path} has no column {column!r}; it has {names}."
        raise ForeactError("csv_columns", message, "Use one of its columns.")
    return names.index(column)


def _time_of(text: str) -> datetime | None:
    """Read ISO 8601, without a zone where it names none, or seconds or milliseconds since 1970; else None."""
    text = text.strip()
    try:
        # Eight digits are a date of the calendar: as seconds they would all lie in 1970.
        number = math.nan if len(text) == 8 and text.isdecimal() else float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        try:
            return datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            return None
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
    name = option(options, "timezone", "UTC")
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        message = f"There is no time zone {name!r}."
        raise ForeactError("csv_timezone", message, "Use a name like 'Europe/Berlin'.") from error
