"""Import history from a CSV file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from settings import utc_now
from storage import Store
from storage.errors import ForeactError
from storage.records import Sample

CHUNK_ROWS = 50_000
MOMENTS = ("ts", "timestamp", "time", "date", "datetime")
NAMES = ("metric", "metric_name", "name", "series")


def bring_in(store: Store, file: Path, unit: str = "") -> tuple[int, int, int]:
    """Record a CSV file's samples; return rows recorded, rows left out, and series.

    Long form: a moment, a metric, a value, and perhaps `labels` as JSON. Wide form: a moment and one column a metric.
    A moment is ISO 8601 (UTC where it names no zone) or a Unix time in seconds. A value that is no finite number is
    left out. Importing the same file twice changes nothing. Raises `file_unusable`.
    """
    recorded = left_out = 0
    series: set[str] = set()
    for chunk in _chunks(file):
        long = _long(chunk, file)
        moments = _moments(long["ts"], file)
        values = pd.to_numeric(long["value"], errors="coerce").to_numpy(dtype=float)
        usable = np.isfinite(values) & moments.notna().to_numpy()
        samples = [
            Sample(metric=str(metric), value=float(value), ts=moment.to_pydatetime(), labels=labels, unit=unit)
            for metric, value, moment, labels in zip(
                long["metric"][usable], values[usable], moments[usable], long["labels"][usable], strict=True
            )
        ]
        recorded += store.samples.append(samples)
        left_out += int((~usable).sum())
        series.update(sample.series for sample in samples)
    return recorded, left_out, len(series)


def _chunks(file: Path) -> Iterator[pd.DataFrame]:
    try:
        with pd.read_csv(file, chunksize=CHUNK_ROWS, dtype=str, skipinitialspace=True) as reader:
            yield from reader
    except (OSError, ValueError) as trouble:
        raise _unusable(file, str(trouble).splitlines()[0]) from None


def _long(chunk: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Return columns ts, metric, value, labels, whichever form the file has."""
    chunk = chunk.rename(columns=lambda name: str(name).strip())
    lower = {name.lower(): name for name in chunk.columns}
    moment = next((lower[name] for name in MOMENTS if name in lower), None)
    if moment is None:
        raise _unusable(file, f"it has no column named {', '.join(MOMENTS[:-1])} or {MOMENTS[-1]}")
    name = next((lower[name] for name in NAMES if name in lower), None)
    if name is not None and "value" in lower:
        labels = [_labels(text, file) for text in chunk[lower["labels"]]] if "labels" in lower else [{}] * len(chunk)
        return pd.DataFrame(
            {"ts": chunk[moment], "metric": chunk[name], "value": chunk[lower["value"]], "labels": labels}
        )
    wide = chunk.melt(id_vars=[moment], var_name="metric", value_name="value").rename(columns={moment: "ts"})
    wide = wide[wide["value"].notna()].reset_index(drop=True)
    return wide.assign(labels=[{}] * len(wide))


def _labels(text: object, file: Path) -> dict[str, str]:
    if not isinstance(text, str) or not text.strip():
        return {}
    try:
        return {str(name): str(value) for name, value in json.loads(text).items()}
    except (ValueError, AttributeError):
        raise _unusable(file, f"its labels are not a JSON object: {text[:60]}") from None


def _moments(column: pd.Series, file: Path) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().all():
        moments = pd.to_datetime(numbers, unit="s", utc=True, errors="coerce")
    else:
        moments = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    if moments.isna().all():
        raise _unusable(file, f"none of its times can be read, such as {column.iloc[0]!r}")
    latest = moments.max().to_pydatetime()
    if latest > utc_now() + timedelta(days=1):
        raise _unusable(file, f"it has times in the future, such as {latest.isoformat()}")
    return moments


def _unusable(file: Path, why: str) -> ForeactError:
    return ForeactError(
        "file_unusable",
        f"{file} cannot be imported: {why}.",
        "It needs a column `ts` and either `metric` and `value`, or one column per metric.",
    )
