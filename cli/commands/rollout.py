"""`foreact rollout`."""

from __future__ import annotations

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact rollout"


def run(json: Json = False) -> None:
    """Show the level of each action, and what the next one needs."""
    from cli import show
    from cli.client import desk

    with desk(settings_here()) as ask:
        answer = ask.get("/rollout")
    tell(answer, json, lambda: show.rollout(answer))
