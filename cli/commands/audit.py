"""`foreact audit`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Json, settings_here, tell

EXAMPLE = "foreact audit --verify"


def run(
    verify: Annotated[bool, typer.Option("--verify", help="Check that no line was changed.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many of the newest.")] = 20,
    json: Json = False,
) -> None:
    """List who decided what, and when."""
    from cli import show
    from cli.client import desk

    with desk(settings_here()) as ask:
        answer = ask.get("/audit", limit=limit, verify=verify)
    tell(answer, json, lambda: show.audit(answer))
    if verify and not answer["verified"]:
        raise typer.Exit(1)
