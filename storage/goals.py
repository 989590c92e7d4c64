"""Goals and their transitions; a goal's state is its last transition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from storage.engine.protocol import Columns, Engine, Followed
from storage.records import Goal, GoalState, GoalView, Transition
from storage.table import Clock, RecordTable, asked, insert_new, next_number, pattern_of, whole_day

_VIEW = """SELECT g.body, s.state, s.progress, s.reason, s.since
           FROM goals g JOIN goal_states s USING (goal_id)"""
_OPEN = "('proposed', 'active', 'blocked')"


@dataclass(frozen=True)
class LateGoals:
    """Goals, and by id how those stand that are open or were closed since a moment; all moves up to a number count."""

    number: int
    goals: Mapping[str, Goal]
    views: Mapping[str, GoalView]


class GoalTable:
    """The `goals` and `goal_transitions` tables."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._goals = RecordTable(engine, clock, "goals", Goal, first_by=("goal_id",))
        self._late = Followed(("goals", "goal_transitions"), self._read_late, _late_since)

    def append(self, goals: Sequence[Goal], transitions: Sequence[Transition], cycle_id: str) -> None:
        """Record new goals and where goals moved to, together."""

        def write() -> int:
            return self._goals.append(goals, cycle_id) + self._append_moves(transitions, cycle_id)

        if goals:
            self._engine.together(write)
        else:
            self._append_moves(transitions, cycle_id)

    def move(self, transitions: Sequence[Transition], cycle_id: str) -> None:
        """Record where goals moved to."""
        self.append((), transitions, cycle_id)

    def _append_moves(self, transitions: Sequence[Transition], cycle_id: str) -> int:
        count, first = len(transitions), next_number()
        columns: dict[str, list[Any]] = {
            "seq": list(range(first, first + count)),
            "goal_id": [each.goal_id for each in transitions],
            "moved_at": [each.at for each in transitions],
            "state": [str(each.state) for each in transitions],
            "progress": [float(each.progress) for each in transitions],
            "reason": [each.reason for each in transitions],
            "cycle_id": [cycle_id] * count,
            "recorded_at": [self._clock()] * count,
        }
        return insert_new(self._engine, "goal_transitions", columns, first_by=("goal_id", "moved_at", "state"))

    def open(self) -> list[GoalView]:
        """Return the goals that still ask for something, most important first."""
        return self._views(f"WHERE s.state IN {_OPEN}")

    def recent(self, since: datetime, limit: int = 200) -> list[GoalView]:
        """Return goals closed after a moment, newest first."""
        tail = f"WHERE s.state NOT IN {_OPEN} AND s.since > $since ORDER BY s.since DESC LIMIT $limit"
        views = self._views(tail, {"since": whole_day(since), "limit": limit})
        return [view for view in views if view.since > since]

    def lately(self, since: datetime, limit: int = 200) -> tuple[list[GoalView], list[GoalView]]:
        """Return in one reading the open goals, as `open` does, and those closed after a moment, newest first."""
        views = _in_order(self._engine.follow(self._late, whole_day(since)).views.values())
        closed = [view for view in views if not view.is_open and view.since > since]
        newest = sorted(closed, key=lambda view: view.since, reverse=True)[:limit]
        return [view for view in views if view.is_open], newest

    def get(self, goal_id: str) -> GoalView | None:
        """Return a goal with its state, or None."""
        found = self._views("WHERE g.goal_id = $goal_id", {"goal_id": goal_id})
        return found[0] if found else None

    def of_cycle(self, cycle_id: str, limit: int) -> list[GoalView]:
        """Return goals that one cycle set."""
        tail = "WHERE g.cycle_id = $cycle_id ORDER BY g.goal_id LIMIT $limit"
        return self._views(tail, {"cycle_id": cycle_id, "limit": limit})

    def cycle_of(self, goal_id: str) -> str | None:
        """Return the id of the cycle that set a goal, or None."""
        return self._goals.cycle_of(goal_id)

    def of_pattern(self, pattern_id: str, limit: int) -> list[GoalView]:
        """Return the newest goals that were set for a pattern, or for what it does, newest first."""
        named = "$pattern_id IN ((g.body->>'$.because.inputs.pattern'), (g.body->>'$.because.inputs.effect'))"
        tail = f"WHERE {named} ORDER BY s.since DESC, g.goal_id LIMIT $limit"
        return self._views(tail, {"pattern_id": pattern_id, "limit": limit})

    def all(self, limit: int = 1_000) -> list[GoalView]:
        """Return goals in any state, newest first."""
        return self._views("ORDER BY s.since DESC LIMIT $limit", {"limit": limit})

    def page(
        self, text: str, state: str, limit: int, offset: int = 0, objective: str = ""
    ) -> tuple[list[GoalView], int]:
        """Return some of the goals that contain a text in a state ("" any, "open"), newest first, and how many do.

        With an objective only those that were set for it.
        """
        states = {"": "TRUE", "open": f"s.state IN {_OPEN}"}.get(state, "s.state = $state")
        params = {"state": state, "text": pattern_of(text), "objective": objective}
        of = "$objective IN ('', (g.body->>'$.objective'))"
        where = f"WHERE {states} AND ($state = $state) AND {of} AND g.body ILIKE $text ESCAPE '!'"
        sql = f"SELECT count(*) FROM goals g JOIN goal_states s USING (goal_id) {where}"
        asked_for = ("goals counted", state, text, objective)
        count = self._engine.recall(("goals", "goal_transitions"), asked_for, lambda: self._engine.rows(sql, params))
        tail = f"{where} ORDER BY s.since DESC, g.goal_id LIMIT $limit OFFSET $offset"
        return self._views(tail, {**params, "limit": limit, "offset": offset}), int(count[0][0])

    def transitions(self, goal_id: str) -> list[Transition]:
        """Return a goal's history, oldest first."""
        sql = """SELECT goal_id, state, moved_at, reason, progress FROM goal_transitions
                 WHERE goal_id = $goal_id ORDER BY seq"""
        rows = self._engine.recall(
            ("goal_transitions",), ("transitions", goal_id), lambda: self._engine.rows(sql, {"goal_id": goal_id})
        )
        return [Transition(goal_id=g, state=s, at=at, reason=r, progress=p) for g, s, at, r, p in rows]

    def counts(self) -> dict[str, int]:
        """Return how many goals are in each state."""
        sql = "SELECT state, count(*) FROM goal_states GROUP BY state"
        rows = self._engine.recall(("goal_transitions",), "goal counts", lambda: self._engine.rows(sql))
        return {str(GoalState(state)): int(count) for state, count in rows}

    def _views(self, tail: str, params: dict[str, Any] | None = None) -> list[GoalView]:
        def read() -> tuple[GoalView, ...]:
            return tuple(
                GoalView(
                    goal=Goal.model_validate_json(body),
                    state=state,
                    progress=progress,
                    reason=reason,
                    since=since,
                )
                for body, state, progress, reason, since in self._engine.rows(f"{_VIEW} {tail}", params)
            )

        views = list(self._engine.recall(("goals", "goal_transitions"), ("goal views", tail, asked(params)), read))
        return views if "ORDER BY" in tail else _in_order(views)

    def _read_late(self, since: datetime) -> LateGoals:
        views = {
            view.goal.goal_id: view
            for view in self._views(f"WHERE s.state IN {_OPEN} OR s.since > $since", {"since": since})
        }
        return LateGoals(next_number(), {goal_id: view.goal for goal_id, view in views.items()}, views)


def _late_since(known: LateGoals, table: str, new: Columns) -> LateGoals | None:
    """Follow new goals, and moves of goals that are known in the order in which they were made."""
    if table == "goals":
        goals = map(Goal.model_validate_json, new["body"])
        return replace(known, goals={**known.goals, **{goal.goal_id: goal for goal in goals}})
    if min(new["seq"]) < known.number or not known.goals.keys() >= set(new["goal_id"]):
        return None
    moves = zip(*(new[name] for name in ("goal_id", "state", "moved_at", "reason", "progress")), strict=True)
    views = {
        goal_id: GoalView(goal=known.goals[goal_id], state=state, since=at, reason=reason, progress=progress)
        for goal_id, state, at, reason, progress in moves
    }
    return LateGoals(max(new["seq"]), known.goals, {**known.views, **views})


def _in_order(views: Iterable[GoalView]) -> list[GoalView]:
    """Return goals, the most important first."""
    return sorted(views, key=lambda view: (-view.goal.priority, view.goal.goal_id))
