"""`foreact shared`."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Json, Note, settings_here, tell

EXAMPLE = "foreact shared workers --release shop --note 'that machine was taken down'"


def run(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="The budget of which a holder is to be released.")] = "",
    release: Annotated[
        str, typer.Option(metavar="HOLDER", help="Say that this holder is gone and holds nothing any more.")
    ] = "",
    note: Note = "",
    json: Json = False,
) -> None:
    """Show what foreacts share, or release a holder."""
    from cli import show
    from cli.client import desk
    from storage.errors import ForeactError

    if bool(name) is not bool(release) or (release and not note.strip()):
        remedy = "foreact shared NAME --release HOLDER --note WHY, or foreact shared alone to see who holds what."
        raise ForeactError("reason_missing", "To release a holder takes a budget, the holder and a reason.", remedy)
    with desk(settings_here()) as ask:
        body = {"holder": release, "note": note.strip()}
        answer = ask.post(f"/shared/{name}/release", body) if release else ask.get("/shared")
    tell(answer, json, lambda: show.shared(answer))
