"""Import history from a CSV or Parquet file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from settings import utc_now
from storage import Store
from storage.engine.sample_files import parquet_rows
from storage.errors import ForeactError
from storage.files.data_files import TIME_NAMES, metric_name_in
from storage.files.local_times import LocalTimes
from storage.records import Sample

CHUNK_ROWS = 50_000
MOST_NAMED = 3
MANY_ROWS = 100
_OWN, _LINE = "\x00labels", "\x00line"


@dataclass
class Imported:
    """What became of a file: samples recorded and those that were already, rows left out with the first of their lines.

    `replaced` values came for a series and moment that had another value, in the file or before: the last one counts.
    `clock` tells of times that a local clock shows twice or never, `remedy` what to do about values that were replaced.
    """

    recorded: int = 0
    known: int = 0
    replaced: int = 0
    left_out: int = 0
    first_left_out: list[str] = field(default_factory=list)
    series: set[str] = field(default_factory=set)
    labels: tuple[str, ...] = ()
    clock: str = ""
    remedy: str = "if they are of different things, add a column that tells these apart"

    @property
    def sentence(self) -> str:
        """Return what people are told."""
        by_label = f", by the labels {', '.join(self.labels)}" if self.labels else ""
        said = [f"imported {self.recorded} samples of {len(self.series)} series{by_label}"]
        if self.known:
            said.append(f"{self.known} were recorded already")
        if self.replaced:
            said.append(
                f"{self.replaced} came for a series and time that had another value, and the last one counts: "
                f"{self.remedy}"
            )
        if self.left_out:
            more = ", …" if self.left_out > len(self.first_left_out) else ""
            said.append(f"skipped {self.left_out} that cannot be used ({'; '.join(self.first_left_out)}{more})")
        return "; ".join(said)


def bring_in(store: Store, file: Path, unit: str = "", times: LocalTimes | None = None) -> Imported:
    """Record the samples of a CSV or Parquet file.

    Long form: a moment, a metric, a value, and perhaps `labels` as JSON and `unit`; every other column is a label.
    Wide form: a moment and one column a metric; a column that holds no numbers is a label. A moment is ISO 8601 (by
    the clock of `times` where it names no zone, else UTC) or a Unix time in seconds. A row without a finite value or a
    usable time is left out. Importing the same file twice changes nothing. Raises `file_unusable`.
    """
    done, columns = Imported(), None
    for chunk in _chunks(file):
        is_first, columns = columns is None, columns or _Columns.of(chunk, file)
        long = columns.long(chunk)
        if is_first and len(long):
            done.labels = columns.labels
            is_taken_as_utc = times is None and _names_no_zone(str(long["ts"].iloc[0]).strip())
            done.remedy += further_remedies(columns.metric is None, is_taken_as_utc)
        _record(store, long if times is None else long.assign(ts=_by_clock(long, times)), file, unit, done)
    done.clock = "" if times is None else times.told()
    return done


def further_remedies(is_wide: bool, is_taken_as_utc: bool) -> str:
    """Return what else may be behind values that came for a series and time that had another."""
    said = ", of text, as columns of numbers are metrics here, or give `metric` and `value`" if is_wide else ""
    return said + "; times that name no zone were taken as UTC, --timezone says another" * is_taken_as_utc


def _names_no_zone(text: str) -> bool:
    try:
        return not text.isdecimal() and datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return False


def _record(store: Store, long: pd.DataFrame, file: Path, unit: str, done: Imported) -> None:
    moments = _moments(long["ts"], file)
    values = pd.to_numeric(long["value"], errors="coerce").to_numpy(dtype=float)
    plain = np.array(
        [_is_plain(name, each) for name, each in zip(long["metric"], long["labels"], strict=True)], dtype=bool
    )
    is_past = (moments <= utc_now() + timedelta(days=1)).to_numpy()
    usable = np.isfinite(values) & moments.notna().to_numpy() & is_past & plain
    newest: dict[tuple[str, datetime], Sample] = {}
    units = [unit or str(own) for own in long["unit"][usable]] if "unit" in long else [unit] * int(usable.sum())
    for metric, value, moment, labels, of in zip(
        long["metric"][usable], values[usable], moments[usable], long["labels"][usable], units, strict=True
    ):
        sample = Sample(metric=str(metric), value=float(value), ts=moment.to_pydatetime(), labels=labels, unit=of)
        before = newest.get((sample.series, sample.ts))
        done.replaced += before is not None and before.value != sample.value
        newest[sample.series, sample.ts] = sample
    known = store.samples.recorded(list(newest.values()))
    fresh = [each for place, each in newest.items() if known.get(place) != each.value]
    done.replaced += sum((each.series, each.ts) in known for each in fresh)
    done.known += len(newest) - len(fresh)
    done.recorded += store.samples.append(fresh)
    done.series.update(series for series, _ in newest)
    done.left_out += int((~usable).sum())
    for place in np.flatnonzero(~usable)[: max(0, MOST_NAMED - len(done.first_left_out))].tolist():
        line, value, at = long["line"].iloc[place], long["value"].iloc[place], long["ts"].iloc[place]
        done.first_left_out.append(ascii(f"line {line}: {value!s:.20} at {at!s:.30}")[1:-1])


def _is_plain(metric: object, labels: Mapping[str, str] | None) -> bool:
    """Tell whether a row names a metric, and labels that can be read, without control characters."""
    if labels is None or not isinstance(metric, str) or not metric.strip():
        return False
    return all(map(str.isprintable, (metric, *labels.values())))


def _chunks(file: Path) -> Iterator[pd.DataFrame]:
    if file.suffix.lower() == ".parquet":
        yield from _chunks_of_parquet(file)
        return
    try:
        with pd.read_csv(file, chunksize=CHUNK_ROWS, dtype=str, skipinitialspace=True) as reader:
            for chunk in reader:
                if not isinstance(chunk.index, pd.RangeIndex):
                    raise unusable(file, "its lines have more cells than its header has names")
                yield chunk
    except (OSError, ValueError) as trouble:
        raise unusable(file, str(trouble).splitlines()[0]) from None


def _chunks_of_parquet(file: Path) -> Iterator[pd.DataFrame]:
    first = 0
    try:
        for names, rows in parquet_rows(file, CHUNK_ROWS):
            index = pd.RangeIndex(first, first + len(rows))
            yield pd.DataFrame(rows, columns=names, index=index, dtype=object).fillna(float("nan"))
            first += len(rows)
    except ValueError as trouble:
        raise unusable(file, str(trouble)) from None


@dataclass(frozen=True)
class _Columns:
    """Which column holds what, as the first rows tell: a wide form has neither a `metric` nor a `value`."""

    moment: str
    metric: str | None
    value: str | None
    json: str | None
    unit: str | None
    labels: tuple[str, ...]

    @classmethod
    def of(cls, chunk: pd.DataFrame, file: Path) -> _Columns:
        chunk = _named(chunk)
        names = list(chunk.columns)
        lower = {name.lower(): name for name in names}
        moment = next((lower[name] for name in TIME_NAMES if name in lower), None)
        if moment is None:
            raise unusable(file, f"it has no column named {', '.join(TIME_NAMES[:-1])} or {TIME_NAMES[-1]}")
        named = metric_name_in(lower)
        if named is not None and "value" in lower:
            metric = lower[named]
            value, json, unit = lower["value"], lower.get("labels"), lower.get("unit")
            labels = tuple(name for name in names if name not in {moment, metric, value, json, unit})
            return cls(moment, metric, value, json, unit, _few_valued(chunk, labels, file))
        texts = tuple(name for name in names if name != moment and _is_text(chunk[name]))
        if len(texts) == len(names) - 1:
            raise unusable(file, "none of its columns holds numbers")
        return cls(moment, None, None, None, None, _few_valued(chunk, texts, file))

    def long(self, chunk: pd.DataFrame) -> pd.DataFrame:
        """Return columns ts, metric, value, labels, line and perhaps unit, whichever form the file has."""
        chunk = _named(chunk)
        own = [_given(row) for row in chunk[list(self.labels)].to_dict("records")] if self.labels else [{}] * len(chunk)
        chunk = chunk.assign(**{_OWN: own, _LINE: chunk.index + 2})
        if self.metric is None:
            kept = [self.moment, _OWN, _LINE]
            wide = chunk.drop(columns=list(self.labels)).melt(id_vars=kept, var_name="metric", value_name="value")
            wide = wide[wide["value"].notna()].reset_index(drop=True)
            return wide.rename(columns={self.moment: "ts", _OWN: "labels", _LINE: "line"})
        labels = (
            [_with_json(given, text) for given, text in zip(own, chunk[self.json], strict=True)]
            if (self.json is not None)
            else own
        )
        return pd.DataFrame(
            {
                "ts": chunk[self.moment],
                "metric": chunk[self.metric],
                "value": chunk[self.value],
                "labels": labels,
                "line": chunk[_LINE],
                **({} if self.unit is None else {"unit": chunk[self.unit].fillna("")}),
            }
        )


def _named(chunk: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that have a name: one without, as a table's index has none, says nothing."""
    return chunk.rename(columns=lambda name: str(name).strip()).filter(
        regex=r"^(?!(Unnamed: \d+|__index_level_\d+__)$)"
    )


def _few_valued(chunk: pd.DataFrame, labels: tuple[str, ...], file: Path) -> tuple[str, ...]:
    for name in labels:
        if len(chunk) >= MANY_ROWS and chunk[name].nunique() > len(chunk) / 2:
            raise unusable(
                file, f"as a label, its column {name!r} would make a series of almost every row; leave it out"
            )
    return labels


def _is_text(column: pd.Series) -> bool:
    """Tell whether a column holds something, and no number."""
    held = column.dropna()
    return len(held) > 0 and bool(pd.to_numeric(held, errors="coerce").isna().all())


def _given(row: Mapping[Any, Any]) -> dict[str, str]:
    return {str(name): str(text).strip() for name, text in row.items() if isinstance(text, str) and text.strip()}


def _with_json(given: Mapping[str, str], text: object) -> dict[str, str] | None:
    """Return labels with those of a cell beside them, None where it holds no JSON object."""
    if not isinstance(text, str) or not text.strip():
        return dict(given)
    try:
        return {**given, **{str(name): str(value) for name, value in json.loads(text).items()}}
    except (ValueError, AttributeError):
        return None


def _by_clock(long: pd.DataFrame, times: LocalTimes) -> pd.Series:
    """Return the moments in UTC where they are ISO 8601; others as they are."""
    read = []
    for text, metric, labels in zip(long["ts"], long["metric"], long["labels"], strict=True):
        try:
            moment = datetime.fromisoformat(str(text).strip()) if not str(text).strip().isdecimal() else None
            series = (metric, *sorted((labels or {}).items()))
            read.append(text if moment is None else times.read(moment, series).isoformat())
        except (ValueError, OverflowError):
            read.append(text)
    return pd.Series(read, index=long.index, dtype=object)


def _moments(column: pd.Series, file: Path) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().all():
        moments = pd.to_datetime(numbers, unit="s", utc=True, errors="coerce")
    else:
        moments = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    moments = moments.where(moments.dt.year.between(1, 9_998))  # pandas has years that Python has not
    if moments.isna().all():
        raise unusable(file, f"none of its times can be read, such as {next(iter(column), '')!r}")
    if moments.min() > utc_now() + timedelta(days=1):
        raise unusable(file, f"all of its times lie in the future, such as {moments.min().isoformat()}")
    return moments


def unusable(file: Path, why: str) -> ForeactError:
    """Refuse a file."""
    return ForeactError(
        "file_unusable",
        f"{file} cannot be imported: {why}.",
        "It needs a column `ts` and either `metric` and `value`, or one column per metric.",
    )
