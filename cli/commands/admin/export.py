"""`foreact export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact export history.parquet --days 30 --series 'cpu*'"


def run(
    file: Annotated[Path, typer.Argument(help="New file, named .csv or .parquet.")],
    days: Annotated[float | None, typer.Option(min=0.001, help="Only the last days; default: all.")] = None,
    series: Annotated[str, typer.Option(help="Which series, such as 'cpu*'.")] = "*",
    json: Json = False,
) -> None:
    """Write recorded metrics to a file that import reads."""
    from dataclasses import asdict
    from datetime import UTC, datetime, timedelta
    from fnmatch import fnmatchcase

    from cli import show
    from cli.progress import progress
    from settings import utc_now
    from storage import open_store
    from storage.engine.sample_files import export_samples
    from storage.errors import ForeactError

    settings, until = settings_here(), utc_now() + timedelta(days=1)
    since = datetime(1, 1, 1, tzinfo=UTC) if days is None else utc_now() - timedelta(days=days)
    with open_store(settings.database_path) as store, progress("exporting") as advance:
        known = [info.series for info in store.samples.known()]
        meant = [each for each in known if fnmatchcase(each, series)]
        if known and not meant:
            raise ForeactError("series_unknown", f"No series matches {series}.", "`foreact forecast` lists them.")
        done = export_samples(store.engine, file, since, until, None if series == "*" else meant, advance)
    size = f"{done.rows} samples, {done.size_bytes / 1e6:.1f} MB"
    tell(asdict(done), json, lambda: show.say(f"{done.file}: {size}"))
