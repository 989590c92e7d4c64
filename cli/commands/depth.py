"""`foreact depth`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Json, Note, settings_here, tell

EXAMPLE = "foreact depth metric:latency --note 'the new release swings more'"


def run(
    key: Annotated[str, typer.Argument(metavar="[KEY]", help="Say that this, as listed, is in its depth again.")] = "",
    note: Note = "",
    json: Json = False,
) -> None:
    """Show where foreact asks first, as its world has changed.

    With a KEY from the list, end that.
    """
    from cli import show
    from cli.client import desk
    from storage.errors import ForeactError

    if key and not note.strip():
        raise ForeactError("reason_missing", "`foreact depth KEY` needs a reason.", "Give it with --note.")
    with desk(settings_here()) as ask:
        answer = ask.post("/depth", {"key": key, "note": note.strip()}) if key else ask.get("/depth")
    tell(answer, json, lambda: show.depth(answer))
