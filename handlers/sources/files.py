"""Samples from CSV and Parquet files, many at a time."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from handlers.contract.source import source
from handlers.contract.source_options import NO_TEXTS, option
from storage.errors import ForeactError
from storage.files.data_files import FileLayout, read_series
from storage.samples import SampleColumns

logger = logging.getLogger(__name__)

REMEDY = "Correct it under [sources.files] in foreact.toml."
WRITTEN_LATE = timedelta(minutes=10)


@source(
    name="files",
    interval_s=300.0,
    options={
        "path": "a file, or a pattern such as data/*.parquet",
        "time_column": "name of the time column; usually detected",
        "metric_column": "name of the column with the metric's name, if there is one",
        "value_columns": "names of the value columns; by default all with numbers",
        "label_columns": "names of the label columns; by default all with text",
        "metric": "name of the metric if there is one value column",
        "timezone": "time zone of times without one; UTC",
        "unit": "unit of the values",
        "max_rows": "how many points one pull may give; 2000000",
    },
)
def files(options: Mapping[str, Any], since: datetime | None, until: datetime) -> Iterable[SampleColumns]:
    """Read the points of CSV and Parquet files whose time lies after `since` and not after `until`.

    Files that were not written since are not opened. Raises ForeactError naming the file that cannot be read or, after
    all else, the first one that holds what is no number or has no time.
    """
    layout = _layout(options)
    most, unit = option(options, "max_rows", 2_000_000), option(options, "unit", "")
    troubles: list[str] = []
    for path in _written_since(option(options, "path", ""), since):
        found = read_series(path, layout, since, until)
        if len(found) > most:
            detail = f"{path} gives {len(found):,} points, more than max_rows = {most:,}."
            raise ForeactError("files_too_many_rows", detail, "Import it with `foreact import`, or increase max_rows.")
        yield from found.in_parts(unit)
        if found.clock:
            logger.warning("%s: %s", path, found.clock)
        if found.left_out:
            troubles.append(
                f"{path} has {found.left_out:,} values that are no finite number, have no time or belong to no metric "
                f"({'; '.join(found.first_left_out)})"
            )
    if troubles:
        others = f", and so have {len(troubles) - 1} other files" if len(troubles) > 1 else ""
        raise ForeactError(
            "files_left_out", f"{troubles[0]}{others}; the rest is read.", "Correct or remove these rows."
        )


def _written_since(pattern: str, since: datetime | None) -> list[str]:
    paths = sorted(glob.glob(pattern)) if pattern else []
    if not paths:
        raise ForeactError("files_none", f"There is no file {pattern or 'named'}.", REMEDY)
    if since is None:
        return paths
    # A point later than all so far cannot lie in a file that was closed before it.
    newest_s = (since - WRITTEN_LATE).timestamp()
    return [path for path in paths if Path(path).stat().st_mtime >= newest_s]


def _layout(options: Mapping[str, Any]) -> FileLayout:
    timezone = option(options, "timezone", "UTC")
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ForeactError("files_timezone", f"There is no time zone {timezone!r}.", REMEDY) from None
    return FileLayout(
        time_column=option(options, "time_column", ""),
        metric_column=option(options, "metric_column", ""),
        value_columns=option(options, "value_columns", NO_TEXTS),
        label_columns=option(options, "label_columns", NO_TEXTS),
        metric=option(options, "metric", ""),
        timezone=timezone,
    )
