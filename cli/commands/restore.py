"""`foreact restore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact restore /backups/monday.duckdb --replace"


def run(
    file: Annotated[Path, typer.Argument(help="A file that `foreact backup` wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Set the database that is there aside, and restore in its place.")
    ] = False,
    no_checksum: Annotated[
        bool, typer.Option("--no-checksum", help="Do without the .sha256 file; all blocks are verified all the same.")
    ] = False,
    json: Json = False,
) -> None:
    """Replace the database with a backup. The backup is verified first; stop foreact before."""
    from dataclasses import asdict

    from cli import show
    from settings import utc_now
    from storage.copies import restore

    database = settings_here().database_path
    facts, aside = restore(file.resolve(), database, now=utc_now(), replaces=replace, checks_sum=not no_checksum)
    acts = "1 act that was open was" if facts.given_up == 1 else f"{facts.given_up} acts that were open were"
    said = [
        f"restored {facts.rows} rows into {database}",
        *([f"{acts} given up: done since the backup or not, nothing is done twice."] if facts.given_up else []),
        *([f"what was there before lies in {aside}"] if aside else []),
    ]
    tell(asdict(facts) | {"database": database, "aside": aside}, json, lambda: show.say("\n".join(said)))
