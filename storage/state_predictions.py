"""Predicted overall states, and what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from storage.engine.protocol import Engine
from storage.open_predictions import open_predictions
from storage.records import StatePrediction
from storage.table import Clock, RecordTable, insert_new

UNKNOWN = "unknown"


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

    def row(self, now: datetime) -> dict[str, Any]:
        """Return the values of the table's row by column."""
        shares = self.foretold.prediction.probabilities
        critical = shares.get("critical", 0.0)
        unhealthy = shares.get("degraded", 0.0) + critical
        return {
            "cycle_id": self.foretold.cycle_id,
            "recorded_at": now,
            "matures_at": self.foretold.prediction.at,
            "unhealthy": unhealthy,
            "critical": critical,
            "raw_unhealthy": self.foretold.raw.unhealthy,
            "raw_critical": self.foretold.raw.critical,
            "came": self.came,
        }


class StateTable:
    """The `states` and `state_results` tables."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._states = RecordTable(engine, clock, "states", StatePrediction)
        columns = ("cycle_id", "body", "unhealthy", "critical")
        self._open = open_predictions(
            engine, "states", "state_results", marker="unhealthy", is_filled=True, columns=columns
        )

    def append(self, state: StatePrediction, cycle_id: str, raw: RawState | None = None) -> bool:
        """Record the state that a cycle predicts; False where it has one already.

        Without `raw` the prediction is never compared with what came.
        """
        columns: dict[str, list[Any]] = {
            "cycle_id": [cycle_id],
            "recorded_at": [self._clock()],
            "body": [state.model_dump_json()],
            "matures_at": [state.at],
            "unhealthy": [float(raw.unhealthy) if raw else None],
            "critical": [float(raw.critical) if raw else None],
        }
        return bool(insert_new(self._engine, "states", columns, first_by=("cycle_id",)))

    def get(self, cycle_id: str) -> StatePrediction | None:
        """Return the state that a cycle predicts."""
        found = self._states.select("WHERE cycle_id = $cycle_id", {"cycle_id": cycle_id})
        return found[0] if found else None

    def unresolved(self, matured_before: datetime, limit: int) -> list[ForetoldState]:
        """Return predictions whose moment has passed and that were not yet compared with what came, oldest first."""
        due = self._engine.follow(self._open, matured_before).due(matured_before)
        return [
            ForetoldState(cycle_id, StatePrediction.model_validate_json(body), RawState(unhealthy, critical))
            for _, cycle_id, body, unhealthy, critical in due[:limit]
        ]

    def append_results(self, results: Sequence[StateResult]) -> None:
        """Record what became of predictions."""
        if not results:
            return
        now = self._clock()
        rows = [result.row(now) for result in results]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        insert_new(self._engine, "state_results", columns, first_by=("cycle_id",))

    def results(self, last: int) -> dict[str, np.ndarray[Any, Any]]:
        """Return the newest resolved predictions as columns, without those whose outcome is unknown."""
        sql = """SELECT unhealthy, critical, raw_unhealthy, raw_critical, came FROM state_results
                 WHERE came <> $unknown ORDER BY matures_at DESC LIMIT $last"""
        params = {"last": last, "unknown": UNKNOWN}
        return self._engine.recall(
            ("state_results",), ("state results", last), lambda: self._engine.columns(sql, params)
        )
