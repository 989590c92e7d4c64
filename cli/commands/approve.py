"""`foreact approve`."""

from __future__ import annotations

import json as json_module
from typing import Annotated, Any

import typer

from cli.options import Json, Note, Subject, decide

EXAMPLE = "foreact approve action-3f0c2a9d1b7e --set amount=4 --note 'looks right'"


def run(
    subject: Subject,
    note: Note = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would do; it keeps waiting.")] = False,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a parameter; can be repeated.")
    ] = None,
    json: Json = False,
) -> None:
    """Approve a waiting action, or all waiting actions of a goal."""
    if (dry_run or changes) and subject.startswith("goal"):
        from storage.errors import ForeactError

        raise ForeactError("not_an_action", f"{subject} is a goal.", "Name one action: `foreact actions` lists them.")
    decide(subject, "approve?dry_run=true" if dry_run else "approve", note, json, _params(changes or []))


def _params(changes: list[str]) -> dict[str, Any]:
    """Read typed parameters: as JSON if possible, otherwise as text."""
    params: dict[str, Any] = {}
    for change in changes:
        name, sign, text = change.partition("=")
        if not (name and sign):
            from storage.errors import ForeactError

            raise ForeactError("parameter_unclear", f"{change!r} sets nothing.", "Write, for example, --set amount=4.")
        try:
            params[name] = json_module.loads(text)
        except ValueError:
            params[name] = text
    return params
