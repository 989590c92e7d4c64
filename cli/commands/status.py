"""`foreact status`."""

from __future__ import annotations

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact status"


def run(json: Json = False) -> None:
    """Show mode, goals, actions and cycles at a glance."""
    from cli import show
    from cli.client import desk

    with desk(settings_here(warns=False)) as ask:
        answer = ask.get("/status")
        tell(answer, json, lambda: show.status(answer, ask.is_live))
