"""`foreact goals`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.commands import goal
from cli.options import Json, settings_here, tell

EXAMPLE = "foreact goals --all"


def run(
    goal_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="The same as foreact goal ID.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Include closed goals.")] = False,
    json: Json = False,
) -> None:
    """List open goals, most important first."""
    from cli import show
    from cli.client import desk

    if goal_id is not None:
        goal.run(goal_id, json)
        return
    with desk(settings_here()) as ask:
        answer = ask.get("/goals", state="all" if everything else "open")
        tell(answer, json, lambda: show.goals(answer))
