"""Patterns: what each search of a cycle found."""

from __future__ import annotations

from collections.abc import Sequence

from storage.engine.protocol import Engine
from storage.records import Pattern
from storage.table import Clock, RecordTable


class PatternTable:
    """The `patterns` table."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._patterns = RecordTable(engine, clock, "patterns", Pattern, first_by=("cycle_id",))

    def append(self, patterns: Sequence[Pattern], cycle_id: str) -> None:
        """Record the patterns that a cycle found."""
        self._patterns.append(patterns, cycle_id)

    def of_search(self, cycle_id: str) -> list[Pattern]:
        """Return what the long search of an earlier cycle found; it does not change any more."""
        return list(self._engine.recall((), ("patterns of", cycle_id), lambda: tuple(self.of_cycle(cycle_id))))

    def of_cycle(self, cycle_id: str) -> list[Pattern]:
        """Return the patterns that one cycle found itself, strongest first."""
        tail = "WHERE cycle_id = $cycle_id ORDER BY CAST(body->>'$.strength' AS DOUBLE) DESC, pattern_id"
        return self._patterns.select(tail, {"cycle_id": cycle_id})
