"""`foreact patterns`."""

from __future__ import annotations

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact patterns"


def run(json: Json = False) -> None:
    """List what keeps happening in your metrics, strongest first."""
    from cli import show
    from cli.client import desk

    with desk(settings_here()) as ask:
        answer = ask.get("/patterns")
    tell(answer, json, lambda: show.patterns(answer))
