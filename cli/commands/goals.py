"""`foreact goals`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact goals --all"


def run(
    goal_id: Annotated[str | None, typer.Argument(help="Show one goal with its decisions and actions.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Include closed goals.")] = False,
    json: Json = False,
) -> None:
    """List open goals, most important first."""
    from cli import show
    from cli.client import desk

    with desk(settings_here()) as ask:
        if goal_id is not None:
            answer = ask.get(f"/goals/{goal_id}")
            tell(answer, json, lambda: show.goal(answer))
        else:
            answer = ask.get("/goals", state="all" if everything else "open")
            tell(answer, json, lambda: show.goals(answer))
