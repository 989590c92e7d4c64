"""`foreact actions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Json, complete_action, settings_here, tell
from storage.errors import ForeactError

if TYPE_CHECKING:
    from cli.client import FacadeClient

EXAMPLE = "foreact actions --limit 5"


def run(
    action_id: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="Show one action with its effects.", autocompletion=complete_action),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many of the newest.")] = 20,
    json: Json = False,
) -> None:
    """List the newest actions and those that wait for approval."""
    from cli import show
    from cli.client import desk

    with desk(settings_here()) as ask:
        if action_id is not None:
            answer = ask.get(f"/actions/{action_id}")
            tell(answer, json, lambda: show.action(answer, _can_be_told(ask, action_id)))
        else:
            answer = ask.get("/actions", limit=limit)
            tell(answer, json, lambda: show.actions(answer))


def _can_be_told(ask: FacadeClient, action_id: str) -> str:
    """Say how small an effect of an action can be told; empty where it is not judged."""
    try:
        return str(ask.get(f"/actions/{action_id}/estimand")["sentence"])
    except ForeactError:
        return ""
