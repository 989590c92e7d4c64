"""`foreact import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact import history.csv --unit ms"


def run(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV or Parquet with `ts`, and `metric` and `value` or a column per metric; others are labels."
        ),
    ],
    unit: Annotated[str, typer.Option(help="Unit of all values; default: the column `unit`.")] = "",
    timezone: Annotated[str, typer.Option(help="Zone of times that name none, like Europe/Berlin.")] = "UTC",
    json: Json = False,
) -> None:
    """Import history from a CSV or Parquet file."""
    from dataclasses import asdict

    from cli import show
    from cli.bulk_history import bring_in_bulk, is_bulk
    from cli.history_file import bring_in
    from flows.wiring import open_configured_store
    from storage.errors import ForeactError
    from storage.files.local_times import LocalTimes

    if not file.is_file():
        raise ForeactError("file_unusable", f"There is no file {file}.", "Name a CSV or Parquet file.")
    try:
        times = None if timezone == "UTC" else LocalTimes(ZoneInfo(timezone))
    except (ZoneInfoNotFoundError, ValueError):
        raise typer.BadParameter(f"there is no time zone {timezone!r}; write it like Europe/Berlin") from None
    with open_configured_store(settings_here()) as store:
        done = bring_in_bulk(store, file, unit, timezone) if is_bulk(file) else bring_in(store, file, unit, times)
    figures = asdict(done) | {"series": sorted(done.series), "trouble": done.clock}
    tell(figures, json, lambda: show.say(f"{done.sentence}\n{done.clock}".strip()))
