"""`foreact status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import SHORTEST_HOURS, Json, settings_here, tell

if TYPE_CHECKING:
    from settings import Settings

EXAMPLE = "foreact status --watch"


def run(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again and again, until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.5, max=3600, help="Seconds between two looks.")] = 2.0,
    json: Json = False,
) -> None:
    """Show whether all is well, what is coming, what needs you."""
    settings = settings_here(warns=False)
    if not watch:
        _look(settings, json)
        return
    try:
        _watch(settings, every, json)
    except KeyboardInterrupt:
        typer.echo("", err=True)


def _watch(settings: Settings, every_s: float, json: bool) -> None:
    """Show the status until it is enough; a stack that does not answer for a while is told, and asked again."""
    import time

    from rich.console import Console

    from storage.errors import ForeactError, TransientError

    while True:
        if not json:
            Console().clear()
        try:
            _look(settings, json)
        except (ForeactError, TransientError) as trouble:
            typer.echo(f"foreact: {trouble}", err=True)
        time.sleep(every_s)


def _look(settings: Settings, json: bool) -> None:
    from cli import show
    from cli.client import desk

    with desk(settings) as ask:
        answer = ask.get("/status")
        ahead = {} if json else ask.get("/predictions", horizon_hours=SHORTEST_HOURS)
        tell(answer, json, lambda: show.status(answer, ask.is_live, ahead))
