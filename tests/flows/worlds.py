"""Small worlds for the loop: a load that climbs until somebody sheds some of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from storage.records import Action, Event, Objective, Receipt, ReceiptStatus, Sample

START = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BOUND = 90.0
OBJECTIVE = Objective(name="load", metric="load", bound=BOUND, severity=0.7, horizon_s=3_600)
DRIVEN = Objective(
    name="load",
    metric="load",
    bound=0.8,
    spread=0.1,
    severity=0.8,
    horizon_s=1_800,
    driver="arrivals",
    capacity="workers",
)


class ClimbingLoad:
    """A world with the two methods and nothing else: `shed` lowers the load by 30, all else changes nothing."""

    def __init__(self, seed: int = 3, start_level: float = 45.0) -> None:
        self.minute = 0
        self.level = start_level
        self.acts: list[str] = []
        self.rng = np.random.default_rng(seed)

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        while START + (self.minute + 1) * MINUTE <= tick:
            self.minute += 1
            self.level = min(97.0, self.level + 0.12)
            value = float(self.level + self.rng.normal(0, 1.2))
            yield Sample(metric="load", value=value, ts=START + self.minute * MINUTE)

    def act(self, action: Action, tick: datetime) -> Receipt:
        self.acts.append(action.name)
        if action.name == "shed":
            self.level -= 30
        return Receipt(action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, started_at=tick, finished_at=tick)


def ticks(count: int, first_minute: int = 60, every_minutes: int = 10) -> list[datetime]:
    return [START + (first_minute + every_minutes * n) * MINUTE for n in range(count)]


def overrides(*names: str, **more: Any) -> dict[str, Any]:
    """Return settings with one objective, and declared actions of these names that the world carries out."""
    declared = {
        "goal_types": ["BOTTLENECK_PREVENTION"],
        "metrics": ["load"],
        "candidates": [{}],
        "risk": "low",
        "cooldown_seconds": 600,
    }
    return {
        "use_default_objectives": False,
        "objectives": (OBJECTIVE,),
        "agent": {"analysis_interval_minutes": 10},
        "executor": {
            "measure_horizon_seconds": 1_200,
            "rate_limits": ["1000/day"],
            "blast_radius": 100,
        },
        "actions": dict.fromkeys(names, declared),
    } | more
