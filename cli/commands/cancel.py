"""`foreact cancel`."""

from __future__ import annotations

from cli.options import Note, Subject, decide

EXAMPLE = "foreact cancel goal-3f0c2a9d1b7e --note 'planned maintenance'"


def run(subject: Subject, note: Note = "") -> None:
    """Cancel a goal, or reject a waiting action."""
    decide(subject, "cancel" if subject.startswith("goal") else "reject", note)
