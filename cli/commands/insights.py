"""`foreact insights`."""

from __future__ import annotations

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact insights"


def run(json: Json = False) -> None:
    """Show which actions work, for what, and how surely."""
    from cli import show
    from cli.client import desk

    with desk(settings_here()) as ask:
        answer = ask.get("/executor/insights")
    tell(answer, json, lambda: show.insights(answer))
