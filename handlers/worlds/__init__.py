"""A world is what the loop watches and acts on: this machine, a recording, or a simulation."""

from handlers.worlds.world import (
    UNDO_BY_CHECK,
    Acting,
    World,
    act_in,
    candidates_in,
    capture_in,
    check_in,
    context_for,
    facts_in,
)

__all__ = [
    "UNDO_BY_CHECK",
    "Acting",
    "World",
    "act_in",
    "candidates_in",
    "capture_in",
    "check_in",
    "context_for",
    "facts_in",
]
