"""`foreact actions`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact actions --json"


def run(limit: Annotated[int, typer.Option(min=1, max=500)] = 20, json: Json = False) -> None:
    """List the newest actions and those that wait for approval."""
    from cli import show
    from cli.client import desk

    with desk(settings_here()) as ask:
        answer = ask.get("/actions", limit=limit)
        tell(answer, json, lambda: show.actions(answer))
