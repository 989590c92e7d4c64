"""Outcomes, and the beliefs drawn from them."""

from __future__ import annotations

from collections.abc import Sequence

from storage.engine import Engine
from storage.records import Belief, Outcome
from storage.table import Clock, RecordTable


class Outcomes:
    """The `outcomes` and `beliefs` tables."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._outcomes = RecordTable(
            engine,
            clock,
            "outcomes",
            Outcome,
            {
                "outcome_id": "outcome_id",
                "action_id": "action_id",
                "action": "action",
                "goal_type": "goal_type",
                "role": "role",
                "verdict": "verdict",
                "measured_at": "measured_at",
            },
        )
        self._beliefs = RecordTable(
            engine, clock, "beliefs", Belief, {"belief_id": "belief_id", "outcome_count": "outcome_count"}
        )

    def append(self, outcomes: Sequence[Outcome], cycle_id: str) -> int:
        """Record outcomes; the same one twice is one. Returns how many were new."""
        return self._outcomes.append(outcomes, cycle_id)

    def targets(self) -> list[Outcome]:
        """Return the outcomes on the metrics that were aimed at, in the order they were measured."""
        return self._outcomes.select("WHERE role = 'target' ORDER BY measured_at, outcome_id")

    def of_action(self, action_id: str) -> list[Outcome]:
        """Return the outcomes of an action on every metric."""
        return self._outcomes.select("WHERE action_id = $action_id ORDER BY role DESC", {"action_id": action_id})

    def latest(self, limit: int) -> list[Outcome]:
        """Return the newest outcomes, newest first."""
        return self._outcomes.select("ORDER BY measured_at DESC, outcome_id LIMIT $limit", {"limit": limit})

    def believe(self, belief: Belief, cycle_id: str) -> None:
        """Record what is now believed."""
        self._beliefs.append([belief], cycle_id)

    def belief(self) -> Belief | None:
        """Return the newest belief, or None before the first outcome."""
        found = self._beliefs.select("ORDER BY outcome_count DESC, recorded_at DESC LIMIT 1")
        return found[0] if found else None
