"""What commands share: options of one meaning, the folder that a command is about, and how it asks and answers."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cli.client import FacadeClient
    from settings import Settings

Folder = Annotated[
    Path | None, typer.Option("--folder", "-C", help="Folder with foreact.toml; default: the current one.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Note = Annotated[str, typer.Option("--note", help="Your reason, for the audit trail.")]


class Where:
    """The folder that the command is about; -C before a command and after it mean the same, and the last one counts."""

    folder: Path = Path()
    asked: Path | None = None

    @classmethod
    def enter(cls, folder: Path | None) -> None:
        """Choose the folder; raises `folder_not_found`."""
        from settings import child_environment

        cls.folder = Path(folder or cls.asked or child_environment({}).get("FOREACT_FOLDER", ".")).resolve()
        if not cls.folder.is_dir():
            from storage.errors import ForeactError

            raise ForeactError(
                "folder_not_found",
                f"There is no folder {cls.folder}.",
                "Create it first, or correct -C or FOREACT_FOLDER.",
            )


def settings_here(warns: bool = True) -> Settings:
    """Return the configuration in force; with an invalid one, people can still ask and stop the loop."""
    from settings import settings_in_force

    settings = settings_in_force(Where.folder)
    if settings.trouble and warns:
        typer.echo(f"foreact: {settings.trouble} Until then the last usable configuration applies.", err=True)
    return settings


def completed_by(names: Callable[[FacadeClient], Iterable[str]]) -> Callable[[typer.Context, str], list[str]]:
    """Return what a shell completes a word with: names of what this folder's stack knows, and none where none answers.

    Whatever goes wrong is no completion: a shell that is asked for a word has no place for an error, and is not to open
    a store or bring it up to date.
    """

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        from cli.client import address_of, desk, is_served

        given = (each.params.get("folder") for each in (ctx, ctx.parent) if each is not None)
        try:
            Where.enter(next(filter(None, given), None))
            settings = settings_here(warns=False)
            if not is_served(address_of(settings)):
                return []
            with desk(settings) as ask:
                return [name for name in names(ask) if name.startswith(incomplete)]
        except Exception:
            return []

    return complete


def _goal_ids(ask: FacadeClient) -> list[str]:
    return [each["goal_id"] for each in ask.get("/goals")["goals"]]


def _action_ids(ask: FacadeClient) -> list[str]:
    return [each["action"]["action_id"] for each in ask.get("/actions", limit=MOST_OFFERED)["actions"]]


def _metrics(ask: FacadeClient) -> list[str]:
    from storage.records import metric_of

    series = ask.get("/predictions", horizon_hours=SHORTEST_HOURS)["series"]
    return sorted({metric_of(each["series"]) for each in series})


MOST_OFFERED = 50
SHORTEST_HOURS = 0.001
"""Where only names, breaches or the state are wanted: of the forecasts as little as can be asked for."""
Subject = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="Id of a goal or an action.",
        autocompletion=completed_by(lambda ask: [*_action_ids(ask), *_goal_ids(ask)]),
    ),
]
complete_goal, complete_action, complete_metric = map(completed_by, (_goal_ids, _action_ids, _metrics))


def tell(answer: Any, as_json: bool, show: Callable[[], None]) -> None:
    """Print an answer, for programs or for people."""
    if as_json:
        typer.echo(json_module.dumps(answer, indent=2, default=str))
    else:
        show()


def decide(subject: str, verb: str, note: str, json: bool, params: dict[str, Any] | None = None) -> None:
    """Pass on what a person decided about a goal or an action, and print what came of it."""
    from cli import show
    from cli.client import desk

    noun = "goals" if subject.startswith("goal") else "actions"
    with desk(settings_here()) as ask:
        done = ask.post(f"/{noun}/{subject}/{verb}", {"note": note} | ({"params": params} if params else {}))
    tell(done, json, lambda: show.say(f"{done['subject']}: {done['done']}. {done['note']}".strip()))
