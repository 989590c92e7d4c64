"""`foreact undo`."""

from __future__ import annotations

from cli.options import Json, Note, Subject, decide

EXAMPLE = "foreact undo action-3f0c2a9d1b7e"


def run(subject: Subject, note: Note = "", json: Json = False) -> None:
    """Undo an action that was carried out."""
    decide(subject, "undo", note, json)
