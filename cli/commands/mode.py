"""`foreact mode`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import settings_here

EXAMPLE = "foreact mode off"


def run(switch: Annotated[str, typer.Argument(metavar="on|off|show")] = "show") -> None:
    """Switch automatic actions on or off, or show the mode."""
    from cli import show
    from cli.client import desk, person
    from storage.errors import ForeactError

    if switch not in ("on", "off", "show"):
        raise ForeactError("mode_unknown", f"There is no mode {switch}.", "Use on, off or show.")
    with desk(settings_here()) as ask:
        if switch == "show":
            show.say(ask.get("/status")["mode"]["note"])
        else:
            show.say(ask.post("/mode", {"autonomous": switch == "on", "by": person()})["note"])
