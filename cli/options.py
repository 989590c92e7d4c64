"""What commands share: options of one meaning, the folder that a command is about, and how it asks and answers."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Subject = Annotated[str, typer.Argument(metavar="ID", help="Id of a goal or an action.")]
Note = Annotated[str, typer.Option("--note", help="Your reason, for the audit trail.")]


class Where:
    """The folder that the command is about."""

    folder: Path = Path()


def settings_here(warns: bool = True) -> Settings:
    """Return the configuration in force; with an invalid one, people can still ask and stop the loop."""
    from settings import settings_in_force

    settings = settings_in_force(Where.folder)
    if settings.trouble and warns:
        typer.echo(f"foreact: {settings.trouble} Until then the last usable configuration applies.", err=True)
    return settings


def tell(answer: Any, as_json: bool, show: Callable[[], None]) -> None:
    """Print an answer, for programs or for people."""
    if as_json:
        typer.echo(json_module.dumps(answer, indent=2, default=str))
    else:
        show()


def decide(subject: str, verb: str, note: str, params: dict[str, Any] | None = None) -> None:
    """Pass on what a person decided about a goal or an action, and print what came of it."""
    from cli import show
    from cli.client import desk, person

    noun = "goals" if subject.startswith("goal") else "actions"
    with desk(settings_here()) as ask:
        done = ask.post(
            f"/{noun}/{subject}/{verb}", {"by": person(), "note": note} | ({"params": params} if params else {})
        )
        show.say(f"{done['subject']}: {done['done']}. {done['note']}".strip())
