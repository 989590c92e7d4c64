"""`foreact import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import settings_here

EXAMPLE = "foreact import history.csv --unit ms"


def run(
    file: Annotated[Path, typer.Argument(help="CSV: a column `ts`, and `metric` and `value`, or one column a metric.")],
    unit: Annotated[str, typer.Option(help="The unit of all values.")] = "",
) -> None:
    """Bring recorded history in from a file."""
    from cli import show
    from cli.history_file import bring_in
    from flows.wiring import open_configured_store

    with open_configured_store(settings_here()) as store:
        recorded, left_out, series = bring_in(store, file, unit)
    rest = f"; left out {left_out} that are no finite number or have no moment" if left_out else ""
    show.say(f"recorded {recorded} samples of {series} series{rest}")
