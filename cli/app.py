"""`foreact`: every command is a module of cli/commands; it asks the running facade, or the store where none runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Where
from plugins import modules_of

FIRST = ("up", "demo", "status")
"""What a newcomer looks for stands first in the help, all else by name."""

app = typer.Typer(
    name="foreact",
    help="Forecasts a system, sets goals before an objective breaks, acts, measures the effect and learns.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        from settings import VERSION

        typer.echo(f"foreact {VERSION}")
        raise typer.Exit


@app.callback()
def _main(
    folder: Annotated[
        Path | None, typer.Option("--folder", "-C", help="Folder with foreact.toml; default: the current one.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version and exit.")
    ] = False,
) -> None:
    from settings import child_environment
    from storage.errors import ForeactError

    Where.folder = Path(folder or child_environment({}).get("FOREACT_FOLDER", ".")).resolve()
    if not Where.folder.is_dir():
        raise ForeactError(
            "folder_not_found",
            f"There is no folder {Where.folder}.",
            "Create it first, or correct -C or FOREACT_FOLDER.",
        )


def _add_commands() -> None:
    """Add every command by the name of its module; each imports what it needs when it runs, so that help is quick."""
    modules = {
        each.__name__.rpartition(".")[2].strip("_").replace("_", "-"): each for each in modules_of("cli.commands")
    }
    for name in [*FIRST, *sorted(modules.keys() - set(FIRST))]:
        app.command(name=name, epilog=f"Example: {modules[name].EXAMPLE}")(modules[name].run)


_add_commands()


def main() -> None:
    """Run a command; a refusal is one line and exit code 1."""
    try:
        app()
    except Exception as trouble:
        from storage.errors import ForeactError, TransientError

        if isinstance(trouble, ForeactError):
            sys.exit(f"foreact: {trouble} [{trouble.code}]")
        if isinstance(trouble, TransientError):
            sys.exit(f"foreact: {trouble}. Try again in a moment.")
        raise


if __name__ == "__main__":
    main()
