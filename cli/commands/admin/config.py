"""`foreact config`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Json, Where, tell

if TYPE_CHECKING:
    from settings import Settings

EXAMPLE = "foreact config show --all"


class ConfigDeed(StrEnum):
    """What can be asked about the configuration."""

    CHECK = "check"
    SHOW = "show"


def run(
    deed: Annotated[
        ConfigDeed, typer.Argument(metavar="[check|show]", help="Check foreact.toml, or show what is in force.")
    ] = ConfigDeed.SHOW,
    everything: Annotated[bool, typer.Option("--all", help="Show the keys at their default, too.")] = False,
    json: Json = False,
) -> None:
    """Check foreact.toml, or show the settings in force.

    Secrets are hidden. Exit code 1 if check finds a mistake.
    """
    if deed is ConfigDeed.CHECK:
        _check(json)
    else:
        _show(everything, json)


def _check(json: bool) -> None:
    from api.processes.preflight import unread_in
    from cli import show
    from settings import CONFIG_NAME, load_settings
    from storage.errors import ForeactError

    file = Where.folder / CONFIG_NAME
    try:
        settings = load_settings(Where.folder)
        trouble = [*unread_in(settings), *_said(settings)]
    except ForeactError as refusal:
        trouble = [str(refusal)]
    well = f"{file} can be used." if file.exists() else f"There is no {file}; the defaults apply."
    told = {"file": file, "is_valid": not trouble, "trouble": trouble}
    tell(told, json, lambda: show.say("\n".join(trouble) or well))
    if trouble:
        raise typer.Exit(1)


def _said(settings: Settings) -> list[str]:
    """Return a sentence for each tree that contradicts itself, and each name that nothing recorded answers to.

    Where nothing is recorded nothing is written by looking.
    """
    from storage import open_store
    from tasks.objectives.in_force import said_of_names, said_of_trees

    file = settings.database_path
    with open_store(file if file.exists() else ":memory:") as store:
        return [*said_of_trees(settings, store), *said_of_names(settings, store)]


def _show(everything: bool, json: bool) -> None:
    from cli import show
    from cli.options import settings_here
    from settings import Settings

    in_force = settings_here().shown()
    if json:
        tell(in_force, json, lambda: None)
        return
    usual = show.flat(Settings.model_construct().shown())
    lines = {key: text for key, text in show.flat(in_force).items() if everything or usual.get(key) != text}
    rows = list(lines.items())
    show.table("", ("", ""), rows, "All is as by default: foreact config show --all")
