"""`foreact`: every command is a module of cli/commands, or of a folder in it.

It asks the running facade, or the store where none runs.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Annotated, Any, get_type_hints

import typer
from typer.completion import get_completion_inspect_parameters

from cli.options import Folder, Where
from plugins import modules_of

FIRST = ("up", "demo", "status")
"""What a newcomer looks for stands first in the help, all else by name."""
ALIASES = {"cancel": "reject"}
"""Names that commands had before; they go on working, and the help does not list them."""

app = typer.Typer(
    name="foreact",
    help="Sees trouble coming in your metrics, acts before it happens within your limits, and learns what helps.",
    epilog="Examples: foreact COMMAND --help. Something is wrong? foreact doctor",
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
    folder: Folder = None,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version and exit.")
    ] = False,
) -> None:
    Where.asked = folder


def _with_folder(run: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes -C as well, and enters its folder before it does anything."""

    @functools.wraps(run)
    def in_folder(*, folder: Any = None, **given: Any) -> None:
        Where.enter(folder)
        run(**given)

    asked = inspect.Parameter("folder", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Folder)
    hints = get_type_hints(run, include_extras=True)
    own = [each.replace(annotation=hints[name]) for name, each in inspect.signature(run).parameters.items()]
    in_folder.__annotations__ = {**hints, "folder": Folder}
    in_folder.__signature__ = inspect.Signature([*own, asked])  # type: ignore[attr-defined]
    del in_folder.__wrapped__
    return in_folder


def _add_commands() -> None:
    """Add every command by the name of its module; each imports what it needs when it runs, so that help is quick."""
    found = (part for each in modules_of("cli.commands") for part in _within(each))
    modules = {each.__name__.rpartition(".")[2].strip("_").replace("_", "-"): each for each in found}
    for name in [*FIRST, *sorted(modules.keys() - set(FIRST))]:
        _add(name, modules[name])
    for name, command in ALIASES.items():
        _add(name, modules[command], is_hidden=True)


def _within(module: ModuleType) -> list[ModuleType]:
    """Return a module, or those of a folder: so many commands are too many for one."""
    return modules_of(module.__name__) if hasattr(module, "__path__") else [module]


def _add(name: str, module: ModuleType, is_hidden: bool = False) -> None:
    app.command(name=name, epilog=f"Example: {module.EXAMPLE}", hidden=is_hidden)(_with_folder(module.run))


_add_commands()


def main() -> None:
    """Run a command; whatever goes wrong is one line that ends with what to do."""
    os.umask(0o077)  # what foreact writes is its user's alone
    # Typer knows no shell before it is asked what its own options for completion are, which `completion` replaces.
    get_completion_inspect_parameters()
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="foreact", standalone_mode=False)
    except Exception as trouble:
        line, code = _in_one_line(trouble)
        typer.echo(f"foreact: {line}", err=True)
    sys.exit(code)


def _in_one_line(trouble: Exception) -> tuple[str, int]:
    """Return what to say of a command that failed, and its exit code."""
    from storage.errors import ForeactError, TransientError

    if isinstance(trouble, ForeactError):
        return f"{trouble} [{trouble.code}]", 1
    if isinstance(trouble, TransientError):
        return f"{str(trouble).rstrip('.')}. Try again in a moment; `foreact doctor` says what is amiss.", 1
    if isinstance(trouble, typer.TyperException):
        text, asked = " ".join(trouble.format_message().split()), getattr(trouble, "ctx", None)
        command = asked.command_path if asked else "foreact"
        return f"{text}{'' if text[-1:] in '.?' else '.'} See `{command} --help`.", trouble.exit_code
    if isinstance(trouble, typer.Abort):
        return "stopped.", 1
    return _unexpected(trouble), 1


def _unexpected(trouble: Exception) -> str:
    """Write down where an error came from that nobody foresaw, and return what to say of it."""
    import tempfile
    import traceback

    from storage.private import masked

    details = ""
    with (
        suppress(OSError),
        tempfile.NamedTemporaryFile("w", prefix="foreact-", suffix=".log", delete=False, encoding="utf-8") as file,
    ):
        file.write(masked("".join(traceback.format_exception(trouble))))
        file.flush()
        details = f"Details are in {file.name}; "
    first = masked(str(trouble)).partition("\n")[0]
    what = ": ".join(filter(None, (type(trouble).__name__, first.rstrip("."))))
    return f"{what}. {details}`foreact doctor` says what is amiss."


if __name__ == "__main__":
    main()
