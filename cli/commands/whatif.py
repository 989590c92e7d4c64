"""`foreact whatif`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact whatif --action shed_load --at +30m"


def run(
    action: Annotated[str, typer.Option("--action", help="Which action; it need not be planned.")],
    at: Annotated[
        str, typer.Option("--at", help="When: +30m, +2h, or a moment as 2026-03-02T12:00:00Z; default: now.")
    ] = "",
    target: Annotated[str, typer.Option("--target", help="On what, where the action has targets.")] = "",
    params: Annotated[str, typer.Option("--params", help="Its parameters, as JSON.")] = "",
    json: Json = False,
) -> None:
    """Predict what an action would change, without doing it."""
    from cli import whatif_view
    from cli.client import desk

    asked = {"action": action, "at": whatif_view.moment_of(at), "target": target, "params": params}
    with desk(settings_here()) as ask:
        answer = ask.get("/whatif", **{name: given for name, given in asked.items() if given})
    tell(answer, json, lambda: whatif_view.shown(answer))
