"""`foreact backup`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact backup /backups/monday.duckdb"


def run(
    file: Annotated[Path, typer.Argument(help="New file; its SHA-256 is written beside it.")], json: Json = False
) -> None:
    """Copy the whole database, also while foreact runs. The copy is verified."""
    from dataclasses import asdict

    from cli import show
    from flows.wiring import open_configured_store
    from storage.copies import back_up

    settings = settings_here()
    with open_configured_store(settings) as store:
        facts = back_up(store.engine, file.resolve(), settings.database_path)
    size = f"{facts.rows} rows, {facts.size_bytes / 1e6:.1f} MB"
    tell(asdict(facts), json, lambda: show.say(f"{facts.file}: {size}, verified; SHA-256 {facts.sha256[:16]}…"))
