"""What was fitted once and is kept for a while: models and calibrations, by name."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from storage.engine.protocol import Engine
from storage.table import Clock


@dataclass(frozen=True)
class Fitted:
    """A fitted thing as text; `fitted_at` is the tick whose history it was fitted on."""

    name: str
    fitted_at: datetime
    body: str


class FittedTable:
    """The `fitted` table: the row of a name that was recorded last is in force."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self._held: dict[str, tuple[datetime, Fitted]] = {}
        self._lock = threading.Lock()

    def keep(self, fitted: Fitted) -> None:
        """Put a fitted thing in force."""
        recorded_at = self._clock()
        self._engine.rows(
            "INSERT INTO fitted VALUES ($name, $recorded_at, $fitted_at, $body)",
            {"name": fitted.name, "recorded_at": recorded_at, "fitted_at": fitted.fitted_at, "body": fitted.body},
        )

    def get(self, names: Sequence[str]) -> dict[str, Fitted]:
        """Return what is in force under some names.

        Bodies are large and change daily: each is fetched once and held for as long as its row is in force.
        """
        with self._lock:
            return {name: self._body(name, at) for name, at in self._newest().items() if name in names}

    def _newest(self) -> dict[str, datetime]:
        sql = "SELECT name, max(recorded_at) FROM fitted GROUP BY name"
        return self._engine.recall(("fitted",), "newest fitted", lambda: dict(self._engine.rows(sql)))

    def _body(self, name: str, recorded_at: datetime) -> Fitted:
        held = self._held.get(name)
        if held is None or held[0] != recorded_at:
            sql = "SELECT fitted_at, body FROM fitted WHERE name = $name AND recorded_at = $recorded_at LIMIT 1"
            fitted_at, body = self._engine.rows(sql, {"name": name, "recorded_at": recorded_at})[0]
            held = self._held[name] = (recorded_at, Fitted(name, fitted_at, body))
        return held[1]
