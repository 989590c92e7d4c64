"""`foreact doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Where, settings_here

EXAMPLE = "foreact doctor --drill"


def run(
    drill: Annotated[bool, typer.Option("--drill", help="Instead, run and undo each action on a safe target.")] = False,
) -> None:
    """Check the installation; exit code 1 if something is wrong."""
    from api.processes.layout import new_layout
    from cli import show
    from cli.checks import drills, examine

    is_well = True
    settings = settings_here(warns=False)
    for check in drills(settings) if drill else examine(new_layout(settings, Where.folder)):
        is_well = is_well and check.finding != "wrong"
        show.say(f"{check.finding:<6}{check.what:<30}{check.text}")
    if not is_well:
        raise typer.Exit(1)
