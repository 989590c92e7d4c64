"""Outcomes, and the beliefs drawn from them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import ValidationError

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

    def targets(self, since: datetime | None = None) -> list[Outcome]:
        """Return the outcomes on the metrics that were aimed at, in the order they were recorded.

        That is the order in which they were learned from: one that comes late stands last. `since` leaves out those
        measured before a moment.
        """
        tail = "WHERE role = 'target' AND ($since IS NULL OR measured_at >= $since) ORDER BY recorded_at, outcome_id"
        return self._outcomes.select(tail, {"since": since})

    def target_count(self) -> int:
        """Count the outcomes on the metrics that were aimed at."""
        return self._outcomes.count("role = 'target'")

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
        """Return the newest belief, or None before the first outcome.

        One whose row cannot be read comes without a state, which no learner takes for sound.
        """
        sql = """SELECT belief_id, recorded_at, outcome_count, body FROM beliefs
                 ORDER BY recorded_at DESC, outcome_count DESC LIMIT 1"""
        for belief_id, recorded_at, count, body in self._engine.rows(sql):
            try:
                return Belief.model_validate_json(body)
            except ValidationError:
                return Belief(belief_id=belief_id, at=recorded_at, outcome_count=count, state={})
        return None
