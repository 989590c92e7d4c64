"""`foreact goal`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Json, complete_goal, settings_here, tell

EXAMPLE = "foreact goal goal-3f0c2a9d1b7e"


def run(
    goal_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a goal.", autocompletion=complete_goal)],
    json: Json = False,
) -> None:
    """Show one goal: why, what was decided, what was done."""
    from cli import show
    from cli.client import desk

    with desk(settings_here()) as ask:
        answer = ask.get(f"/goals/{goal_id}")
        tell(answer, json, lambda: show.goal(answer))
