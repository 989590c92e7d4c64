"""`foreact undo`."""

from __future__ import annotations

from cli.options import Note, Subject, decide

EXAMPLE = "foreact undo action-3f0c2a9d1b7e"


def run(subject: Subject, note: Note = "") -> None:
    """Undo an action."""
    decide(subject, "undo", note)
