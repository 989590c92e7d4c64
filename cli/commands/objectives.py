"""`foreact objectives`."""

from __future__ import annotations

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact objectives"


def run(json: Json = False) -> None:
    """List the objectives in force, and where each comes from."""
    from cli import show
    from cli.client import desk

    with desk(settings_here()) as ask:
        answer = ask.get("/objectives")
    tell(answer, json, lambda: show.objectives(answer))
