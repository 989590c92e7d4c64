"""`foreact import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import settings_here

EXAMPLE = "foreact import history.csv --unit ms"


def run(
    file: Annotated[
        Path, typer.Argument(help="CSV: a column `ts`, and `metric` and `value` or one column per metric.")
    ],
    unit: Annotated[str, typer.Option(help="Unit of all values.")] = "",
) -> None:
    """Import history from a CSV file."""
    from cli import show
    from cli.history_file import bring_in
    from flows.wiring import open_configured_store

    with open_configured_store(settings_here()) as store:
        recorded, left_out, series = bring_in(store, file, unit)
    rest = f"; skipped {left_out} without a finite value or a time" if left_out else ""
    show.say(f"imported {recorded} samples of {series} series{rest}")
