"""Outcomes, and the beliefs drawn from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
from pydantic import ValidationError

from storage.engine.protocol import Engine
from storage.issued import IssuedForecasts
from storage.records import Belief, Decision, Estimand, Outcome
from storage.table import Clock, RecordTable


class OutcomeTable:
    """The `estimands`, `outcomes` and `beliefs` tables; `issued` are the forecasts that outcomes are judged by."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._outcomes = RecordTable(engine, clock, "outcomes", Outcome)
        self._estimands = RecordTable(engine, clock, "estimands", Estimand)
        self.issued = IssuedForecasts(engine)
        self._beliefs = RecordTable(engine, clock, "beliefs", Belief)

    def fix(self, estimand: Estimand, cycle_id: str) -> bool:
        """Write down what an act will be judged by; only the first word counts. Returns whether this was it."""
        return bool(self._estimands.append([estimand], cycle_id))

    def estimand(self, action_id: str) -> Estimand | None:
        """Return what was fixed before an act; None where nothing was, or nothing that can be read."""
        try:
            return self._estimands.get(action_id)
        except ValidationError:
            return None

    def append(self, outcomes: Sequence[Outcome], cycle_id: str) -> int:
        """Record outcomes; the same one twice is one. Returns how many were new."""
        return self._outcomes.append(outcomes, cycle_id)

    def targets(self, since: datetime | None = None, newest: int | None = None) -> list[Outcome]:
        """Return the outcomes on the metrics that were aimed at, in the order they were recorded.

        That is the order in which they were learned from: one that comes late stands last. `since` leaves out those
        measured before a moment, `newest` all but so many of those recorded last.
        """
        tail = """WHERE role = 'target' AND ($since IS NULL OR measured_at >= $since)
                  ORDER BY recorded_at DESC, outcome_id DESC"""
        limit = "" if newest is None else " LIMIT $newest"
        return self._outcomes.select(tail + limit, {"since": since, "newest": newest})[::-1]

    def of_sequences(self, newest: int = 200) -> list[Outcome]:
        """Return the outcomes of sequences on the metrics that were aimed at, in the order recorded."""
        tail = """WHERE role = 'target' AND (body->>'$.steps[0]') IS NOT NULL
                  ORDER BY recorded_at DESC, outcome_id DESC LIMIT $newest"""
        return self._outcomes.select(tail, {"newest": newest})[::-1]

    def tried(self) -> frozenset[tuple[str, str]]:
        """Return the (goal type, action) pairs of which some act was measured, as more than unknown or confounded."""
        sql = """SELECT DISTINCT goal_type, action FROM outcomes
                 WHERE role = 'target' AND verdict NOT IN ('unknown', 'confounded')"""
        rows = self._engine.recall(("outcomes",), "tried", lambda: self._engine.rows(sql))
        return frozenset((goal_type, action) for goal_type, action in rows)

    def harmful(self) -> frozenset[str]:
        """Return the acts that made a metric worse which they must not harm, or that the loop took back for it."""
        sql = """SELECT action_id FROM outcomes WHERE role = 'guard' AND verdict = 'worse'
                 UNION SELECT subject FROM audit WHERE verb = 'undo planned'"""
        return frozenset(action_id for (action_id,) in self._engine.rows(sql))

    def moved_beside(self) -> dict[str, tuple[str, ...]]:
        """Return, by action, the series it moves beside those it aims at: seen twice, and at every fourth act."""
        sql = """SELECT action, body->>'$.series' AS series FROM outcomes WHERE role <> 'target' GROUP BY ALL
                 HAVING count(*) FILTER (verdict IN ('improved', 'worse')) >= greatest(2, count(*) / 4) ORDER BY ALL"""
        moved: dict[str, tuple[str, ...]] = {}
        for action, series in self._engine.recall(("outcomes",), "moved beside", lambda: self._engine.rows(sql)):
            moved[action] = (*moved.get(action, ()), series)
        return moved

    def target_count(self) -> int:
        """Count the outcomes on the metrics that were aimed at."""
        read = partial(self._outcomes.count, "role = 'target'")
        return self._engine.recall(("outcomes",), "target count", read)

    def what_ifs(self, newest: int = 50) -> list[dict[str, Any]]:
        """Return how what was foretold with the newest acts compares with what came, as the outcomes keep it."""
        sql = """SELECT body->'$.evidence.what_if' FROM outcomes
                 WHERE role = 'target' AND (body->'$.evidence.what_if') IS NOT NULL
                 ORDER BY measured_at DESC, outcome_id LIMIT $newest"""
        read = partial(self._engine.rows, sql, {"newest": newest})
        return [json.loads(told) for (told,) in self._engine.recall(("outcomes",), ("what ifs", newest), read)]

    def of_action(self, action_id: str) -> list[Outcome]:
        """Return the outcomes of an action on every metric: its target, its guards, then side effects."""
        tail = "WHERE action_id = $action_id ORDER BY role <> 'target', role <> 'guard', body->>'$.series'"
        return self._outcomes.select(tail, {"action_id": action_id})

    def get(self, outcome_id: str) -> Outcome | None:
        """Return one outcome, or None."""
        return self._outcomes.get(outcome_id)

    def cycle_of(self, outcome_id: str) -> str | None:
        """Return the id of the cycle that measured an outcome, or None."""
        return self._outcomes.cycle_of(outcome_id)

    def latest(self, limit: int) -> list[Outcome]:
        """Return the newest outcomes on targets and guards, newest first; side effects are read by action."""
        tail = "WHERE role <> 'side_effect' ORDER BY measured_at DESC, outcome_id LIMIT $limit"
        return self._outcomes.select(tail, {"limit": limit})

    def page(self, text: str, limit: int, offset: int = 0) -> tuple[list[Outcome], int]:
        """Return some of the outcomes on targets and guards that contain a text, newest first, and how many do."""
        order = "measured_at DESC, outcome_id"
        return self._outcomes.page(text, order, limit, offset, "role <> 'side_effect'")

    def of_series(self, series: str, limit: int) -> list[Outcome]:
        """Return the newest outcomes on a series, whatever it was to the act, newest first."""
        tail = "WHERE body->>'$.series' = $series ORDER BY measured_at DESC, outcome_id LIMIT $limit"
        return self._outcomes.select(tail, {"series": series, "limit": limit})

    def of_cycle(self, cycle_id: str, limit: int) -> list[Outcome]:
        """Return what one cycle measured on targets and guards, newest first."""
        tail = "WHERE cycle_id = $cycle_id AND role <> 'side_effect' ORDER BY measured_at DESC, outcome_id LIMIT $limit"
        return self._outcomes.select(tail, {"cycle_id": cycle_id, "limit": limit})

    def changes(self, newest: int = 20_000) -> dict[str, np.ndarray[Any, Any]]:
        """Return what acts changed on every metric, as columns: the outcomes recorded last.

        Columns: action, series, role, verdict, estimate and standard_error (in the metric's unit), past_windows, and
        acted_at_s and horizon_s, when its window began in unix seconds and how long it was; NaN where not measured.
        """
        number = "coalesce(CAST(body->>'$.{0}' AS DOUBLE), 'nan'::DOUBLE) AS {1}"
        sql = f"""SELECT action, body->>'$.series' AS series, role, verdict, {number.format("estimate", "estimate")},
                         {number.format("standard_error", "standard_error")},
                         {number.format("evidence.past_windows", "past_windows")},
                         epoch(CAST(body->>'$.acted_at' AS TIMESTAMPTZ)) AS acted_at_s,
                         {number.format("horizon_s", "horizon_s")} FROM outcomes
                  ORDER BY recorded_at DESC, outcome_id DESC LIMIT $newest"""
        return self._engine.columns(sql, {"newest": newest})

    def decided(self, limit: int) -> list[tuple[Outcome, Decision]]:
        """Return the newest outcomes on targets with the loop's own decisions that led to them, in the order recorded.

        What others proposed was not drawn by the loop.
        """
        sql = """WITH newest AS (SELECT action_id, outcome_id, recorded_at, body FROM outcomes WHERE role = 'target'
                                 AND action_id NOT IN (SELECT action_id FROM actions
                                                       WHERE coalesce(body->>'$.proposed_by', '') <> '')
                                 ORDER BY recorded_at DESC, outcome_id DESC LIMIT $limit)
                 SELECT o.body, d.body FROM newest o JOIN actions a USING (action_id)
                 JOIN decisions d ON d.decision_id = (a.body->>'$.decision_id')
                 ORDER BY o.recorded_at DESC, o.outcome_id DESC"""
        rows = self._engine.rows(sql, {"limit": limit})
        return [(Outcome.model_validate_json(o), Decision.model_validate_json(d)) for o, d in reversed(rows)]

    def acted_on(self) -> dict[str, str]:
        """Return what each act with an outcome acted on, by its id, of those that name a target."""
        sql = """SELECT DISTINCT action_id, target FROM outcomes JOIN actions USING (action_id)
                 WHERE role = 'target' AND target <> ''"""
        return dict(self._engine.rows(sql))

    def believe(self, belief: Belief, cycle_id: str) -> None:
        """Record what is now believed."""
        self._beliefs.append([belief], cycle_id)

    def belief(self) -> Belief | None:
        """Return the newest belief, or None before the first outcome.

        One whose row cannot be read comes without a state, which no learner takes for sound.
        """
        return self._engine.recall(("beliefs",), "belief", self._belief)

    def _belief(self) -> Belief | None:
        sql = """SELECT belief_id, recorded_at, outcome_count, body FROM beliefs
                 ORDER BY recorded_at DESC, outcome_count DESC LIMIT 1"""
        for belief_id, recorded_at, count, body in self._engine.rows(sql):
            try:
                return Belief.model_validate_json(body)
            except ValidationError:
                return Belief(belief_id=belief_id, at=recorded_at, outcome_count=count, state={})
        return None
