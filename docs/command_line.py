"""Write the reference of the command line from its code: `python docs/command_line.py` writes docs/command-line.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import typer

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "command-line.md"
COMMON = {"folder", "help"}
START = """# Command line

What can be done with `foreact`, and how. Every command works in the folder that holds `foreact.toml`; `-C FOLDER`,
before a command or after it, names another one. Where a stack runs, commands ask it; where none does, they read and
write the store of the folder themselves. This page is written from the code by `docs/command_line.py`.

* `--json` prints what programs read. Commands that ask print what the REST interface answers, with the same keys:
  `status`, `goals`, `goal`, `actions`, `approve`, `reject`, `undo`, `mode`, `forecast`, `patterns`, `insights`,
  `objectives` and `audit`. A forecast of one metric also has the `history` that is drawn. With `status --watch --json`
  one document follows another.
* A refusal is one line on the error stream, with what mends it and, in brackets, a code that stays the same. The exit
  code is then 1; it is 2 where a command was mistyped.
* Results go to the standard output, progress and warnings to the error stream.
* `export` writes a row a sample, in time order: `ts`, `metric`, `value`, `labels` as JSON and `unit`. `import` reads
  that, and other files as well: a column `unit` beside `metric` and `value` is the unit, every further column a label.
* `foreact completion bash`, `zsh` or `fish` prints what makes the shell complete commands and options.
* Where something should happen and does not, `foreact doctor` ends with three lines, `goals`, `acts` and `learning`:
  each names the first thing on the way that holds it up, and the command or line of `foreact.toml` that mends it.
"""


def page() -> str:
    """Return the page."""
    sys.path.insert(0, str(ROOT))
    from cli.app import app

    group: Any = typer.main.get_command(app)
    commands = [command for command in group.commands.values() if not command.hidden]
    rows = [f"| [`{each.name}`](#foreact-{each.name}) | {_first(each.help)} |" for each in commands]
    listed = "\n".join(["| command | what it does |", "|---|---|", *rows])
    return "\n".join([START, listed, *map(_section, commands)]) + "\n"


def _first(text: str) -> str:
    return text.strip().splitlines()[0].partition(". ")[0].rstrip(".") + "."


def _section(command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and each.name not in COMMON]
    usage = " ".join(["foreact", command.name, *(_usage(each) for each in arguments)])
    rows = [f"| `{_usage(each)}` | {each.help or ''} |" for each in arguments]
    rows += [f"| `{_names(each)}` | {each.help or ''}{_default(each)} |" for each in options]
    table = ["", "| | |", "|---|---|", *rows] if rows else []
    example = command.epilog.removeprefix("Example: ")
    lines = ["", f"## foreact {command.name}", "", " ".join(command.help.split()), "", f"`{usage}`", *table]
    return "\n".join([*lines, "", "```sh", example, "```"])


def _usage(argument: Any) -> str:
    name = (argument.metavar or argument.name).strip("[]").upper() if not argument.metavar else argument.metavar
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _names(option: Any) -> str:
    return ", ".join(sorted([*option.opts, *option.secondary_opts], key=len, reverse=True))


def _default(option: Any) -> str:
    if option.default in (None, "", False, True, []) or "default" in (option.help or ""):
        return ""
    return f" Default: {getattr(option.default, 'value', option.default)}."


if __name__ == "__main__":
    PAGE.write_text(page())
