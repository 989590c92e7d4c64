"""`foreact reject`."""

from __future__ import annotations

from cli.options import Json, Note, Subject, decide

EXAMPLE = "foreact reject action-3f0c2a9d1b7e --note 'planned maintenance'"


def run(subject: Subject, note: Note = "", json: Json = False) -> None:
    """Reject a waiting action, or give up a goal."""
    decide(subject, "cancel" if subject.startswith("goal") else "reject", note, json)
