"""`foreact goals`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact goals --all"


def run(
    goal_id: Annotated[str | None, typer.Argument(help="One goal, with what is done about it.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Closed goals, too.")] = False,
    json: Json = False,
) -> None:
    """List the goals, most important first."""
    from cli import show
    from cli.client import desk

    with desk(settings_here()) as ask:
        if goal_id is not None:
            answer = ask.get(f"/goals/{goal_id}")
            tell(answer, json, lambda: show.goal(answer))
        else:
            answer = ask.get("/goals", state="all" if everything else "open")
            tell(answer, json, lambda: show.goals(answer))
