"""`foreact completion`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

EXAMPLE = "foreact completion bash > ~/.local/share/bash-completion/completions/foreact"


class Shell(StrEnum):
    """The shells that can complete commands and options of foreact."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def run(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.")]) -> None:
    """Print the script that completes commands in your shell."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    typer.echo(get_completion_script(prog_name="foreact", complete_var="_FOREACT_COMPLETE", shell=shell.value))
