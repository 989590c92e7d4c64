"""Predicted overall states, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from storage.engine import Engine, literal
from storage.records import StatePrediction
from storage.table import Clock, RecordTable

UNKNOWN = "unknown"
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class RawState:
    """Probabilities of not being healthy and of being critical, before they were recalibrated."""

    unhealthy: float
    critical: float


@dataclass(frozen=True)
class ForetoldState:
    """A predicted state whose moment has come."""

    cycle_id: str
    prediction: StatePrediction
    raw: RawState


@dataclass(frozen=True)
class StateResult:
    """The state that came (`unknown` where nobody saw it, or something was done about it) after what was foretold."""

    foretold: ForetoldState
    came: str

    def row(self, now: datetime) -> Sequence[Any]:
        """Return the values of the table's row."""
        shares = self.foretold.prediction.probabilities
        critical = shares.get("critical", 0.0)
        unhealthy = shares.get("degraded", 0.0) + critical
        raw, at = self.foretold.raw, self.foretold.prediction.at
        return self.foretold.cycle_id, now, at, unhealthy, critical, raw.unhealthy, raw.critical, self.came


class States:
    """The `states` and `state_results` tables."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._states = RecordTable(engine, clock, "states", StatePrediction, {})

    def append(self, state: StatePrediction, cycle_id: str, raw: RawState | None = None) -> bool:
        """Record the state that a cycle predicts; False where it has one already.

        Without `raw` the prediction is never compared with what came.
        """
        sql = """INSERT INTO states (cycle_id, recorded_at, body, matures_at, unhealthy, critical)
                 VALUES ($cycle_id, $now, $body, $at, $unhealthy, $critical)
                 ON CONFLICT DO NOTHING RETURNING cycle_id"""
        params = {
            "cycle_id": cycle_id,
            "now": self._clock(),
            "body": state.model_dump_json(),
            "at": state.at,
            "unhealthy": raw.unhealthy if raw else None,
            "critical": raw.critical if raw else None,
        }
        return bool(self._engine.rows(sql, params))

    def get(self, cycle_id: str) -> StatePrediction | None:
        """Return the state that a cycle predicts."""
        found = self._states.select("WHERE cycle_id = $cycle_id", {"cycle_id": cycle_id})
        return found[0] if found else None

    def unresolved(self, matured_before: datetime, limit: int) -> list[ForetoldState]:
        """Return predictions whose moment has passed and that were not yet compared with what came, oldest first."""
        sql = """SELECT cycle_id, body, unhealthy, critical FROM states
                 WHERE matures_at > $newest AND matures_at <= $until AND unhealthy IS NOT NULL
                 ORDER BY matures_at LIMIT $limit"""
        params = {"newest": self._newest_resolved(), "until": matured_before, "limit": limit}
        return [
            ForetoldState(cycle_id, StatePrediction.model_validate_json(body), RawState(unhealthy, critical))
            for cycle_id, body, unhealthy, critical in self._engine.rows(sql, params)
        ]

    def _newest_resolved(self) -> datetime:
        def read() -> datetime | None:
            newest: datetime | None = self._engine.rows("SELECT max(matures_at) FROM state_results")[0][0]
            return newest

        return self._engine.recall(("state_results",), "newest resolved state", read) or NEVER

    def append_results(self, results: Sequence[StateResult]) -> None:
        """Record what became of predictions."""
        now = self._clock()
        rows = ", ".join("(" + ", ".join(map(literal, result.row(now))) + ")" for result in results)
        if rows:
            self._engine.rows(f"INSERT INTO state_results VALUES {rows} ON CONFLICT DO NOTHING")

    def results(self, last: int) -> dict[str, np.ndarray[Any, Any]]:
        """Return the newest resolved predictions as columns, without those whose outcome is unknown."""
        sql = """SELECT unhealthy, critical, raw_unhealthy, raw_critical, came FROM state_results
                 WHERE came <> $unknown ORDER BY matures_at DESC LIMIT $last"""
        params = {"last": last, "unknown": UNKNOWN}
        return self._engine.recall(
            ("state_results",), ("state results", last), lambda: self._engine.columns(sql, params)
        )
