"""Patterns: what each search of a cycle found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from storage.engine.protocol import Engine
from storage.records import Pattern
from storage.table import Clock, RecordTable, whole_day


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

    def dated(self, series: str, kinds: Sequence[str], since: datetime) -> list[Pattern]:
        """Return the patterns of some kinds about a series that lie after a moment, each as it was found last."""
        tail = """WHERE subject = $series AND list_contains($kinds, kind)
                  AND CAST(body->>'$.evidence.at_s' AS DOUBLE) > $since_s
                  QUALIFY row_number() OVER (PARTITION BY pattern_id ORDER BY recorded_at DESC) = 1
                  ORDER BY CAST(body->>'$.evidence.at_s' AS DOUBLE), pattern_id"""
        params = {"series": series, "kinds": tuple(kinds), "since_s": whole_day(since).timestamp()}
        return [each for each in self._patterns.select(tail, params) if each.evidence["at_s"] > since.timestamp()]

    def cycle_of(self, pattern_id: str) -> str | None:
        """Return the id of the cycle that found a pattern last, or None."""
        return self._patterns.cycle_of(pattern_id)

    def newest(self, pattern_id: str) -> Pattern | None:
        """Return a pattern as it was found last, or None."""
        tail = "WHERE pattern_id = $pattern_id ORDER BY recorded_at DESC LIMIT 1"
        found = self._patterns.select(tail, {"pattern_id": pattern_id})
        return found[0] if found else None
