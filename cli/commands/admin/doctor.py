"""`foreact doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Json, Where, settings_here, tell

EXAMPLE = "foreact doctor --drill"


def run(
    drill: Annotated[bool, typer.Option("--drill", help="Instead, run and undo each action on a safe target.")] = False,
    json: Json = False,
) -> None:
    """Find out what is wrong, and why nothing happens. Exit code 1 if something is wrong."""
    from dataclasses import asdict

    from api.processes.layout import new_layout
    from cli import show
    from cli.checks import drills, examine

    settings = settings_here(warns=False)
    done = []
    for check in drills(settings) if drill else examine(new_layout(settings, Where.folder)):
        done.append(check)
        if not json:
            show.check(check.finding, check.what, check.text, check.remedy)
    is_well = all(check.finding != "wrong" for check in done)
    tell({"is_well": is_well, "checks": [asdict(check) for check in done]}, json, lambda: None)
    if not is_well:
        raise typer.Exit(1)
