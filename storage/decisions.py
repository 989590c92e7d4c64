"""Decisions and plans: what was chosen, over what, and why."""

from __future__ import annotations

from collections.abc import Sequence

from storage.engine.protocol import Engine
from storage.records import Decision, Plan
from storage.table import Clock, RecordTable

_OF_GOAL = "WHERE goal_id = $goal_id ORDER BY recorded_at DESC LIMIT $limit"


class DecisionTable:
    """The `decisions` and `plans` tables."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._decisions = RecordTable(engine, clock, "decisions", Decision, first_by=("cycle_id",))
        self._plans = RecordTable(engine, clock, "plans", Plan, first_by=("cycle_id",))

    def append(self, decisions: Sequence[Decision], plans: Sequence[Plan], cycle_id: str) -> None:
        """Record what a cycle decided and planned."""
        self._decisions.append(decisions, cycle_id)
        self._plans.append(plans, cycle_id)

    def get(self, decision_id: str) -> Decision | None:
        """Return one decision, or None."""
        return self._decisions.get(decision_id)

    def of_goal(self, goal_id: str, limit: int = 50) -> list[Decision]:
        """Return the newest decisions taken for a goal, newest first; a goal open for a week has thousands."""
        return self._decisions.select(_OF_GOAL, {"goal_id": goal_id, "limit": limit})

    def plans_of_goal(self, goal_id: str, limit: int = 50) -> list[Plan]:
        """Return the newest plans made for a goal, newest first."""
        return self._plans.select(_OF_GOAL, {"goal_id": goal_id, "limit": limit})

    def of_cycle(self, cycle_id: str) -> list[Decision]:
        """Return what one cycle decided, the newest 200."""
        return self._decisions.select(
            "WHERE cycle_id = $cycle_id ORDER BY decision_id LIMIT 200", {"cycle_id": cycle_id}
        )

    def cycle_of(self, decision_id: str) -> str | None:
        """Return the id of the cycle that took a decision, or None."""
        return self._decisions.cycle_of(decision_id)

    def latest(self, limit: int) -> list[Decision]:
        """Return the newest decisions, newest first."""
        return self._decisions.select("ORDER BY recorded_at DESC LIMIT $limit", {"limit": limit})

    def page(self, text: str, limit: int, offset: int = 0) -> tuple[list[Decision], int]:
        """Return some of the decisions that contain a text, newest first, and how many do."""
        return self._decisions.page(text, "recorded_at DESC, decision_id", limit, offset)

    def count_plans(self) -> int:
        """Count all plans."""
        return self._plans.count()
