"""An amount that helps up to a point: more connections empty the queue, until the database behind them saturates.

Truth: each connection adds less than the one before, and the database's answers grow with the cube of them; at 42 its
own bound is broken, which weighs as much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from benchmarks.worlds.policies import ObservedMetrics, Oracle, Policy, nothing
from benchmarks.worlds.simulated_world import Done, State, SteppedWorld, WorldCommand, WorldStep, hump

QUEUE, DATABASE, CONNECTIONS = "queue_minutes", "db_ms", "connections"
MOST = 64
DAY_STEPS = 288


@dataclass
class SaturationState(State):
    """How many connections there are, and how much waits."""

    connections: int = 16
    waiting: float = 0.0


class Saturation(SteppedWorld):
    """Arrivals with a daily peak; the action is declared for the queue alone."""

    name: ClassVar[str] = "connections that saturate"
    reference: ClassVar[str] = "threshold"
    turn_s: ClassVar[float] = 600.0
    act_cost: ClassVar[float] = 0.0

    def draw(self, rng: np.random.Generator) -> None:
        """Draw what arrives."""
        self.arrives = (60 + 90 * hump(self.hours, 14, 3)) * rng.lognormal(0, 0.1, self.count)

    def begin(self) -> SaturationState:
        """Return an empty queue."""
        return SaturationState()

    def by_hand(self, i: int) -> list[WorldCommand]:
        """Return what people did: more by day, fewer at night."""
        amounts = {96: 24.0, 240: 12.0}
        return [WorldCommand("set_connections", amounts[i % DAY_STEPS])] if i % DAY_STEPS in amounts else []

    def carry_out(self, state: Any, i: int, command: WorldCommand, key: str) -> None:
        """Set the amount."""
        state.connections = min(MOST, max(1, round(command.amount or 1)))

    def take_back(self, state: Any, i: int, done: Done) -> None:
        """Go to the amount before."""
        state.connections = done.before.connections

    def takes_back(self, done: Done, later: Done) -> bool:
        """Tell whether a later amount is at most the one before an act."""
        return bool((later.command.amount or MOST) <= done.before.connections)

    def step(self, state: Any, i: int) -> WorldStep:
        """Let work come and go."""
        database_ms = 40 * (1 + (state.connections / 30) ** 3)
        does = 6 * state.connections / (1 + (state.connections / 45) ** 3)
        state.waiting = max(0.0, state.waiting + float(self.arrives[i]) - does)
        queue = 5 * state.waiting / does
        values = {QUEUE: queue, DATABASE: database_ms + 2 * math.sin(i), CONNECTIONS: float(state.connections)}
        return WorldStep(values, 0.6 * (queue > 10) + 0.6 * (database_ms > 150))

    def commands(self, series: str | None = None) -> list[WorldCommand]:
        """Return amounts close enough to one another."""
        return [WorldCommand("set_connections", float(amount)) for amount in range(4, MOST + 1, 4)]

    def configuration(self) -> dict[str, Any]:
        """Return both objectives, and the action as what helps the queue."""
        bounds = ((QUEUE, 10.0), (DATABASE, 150.0))
        objectives = [
            {"name": metric.replace("_", "-"), "metric": metric, "bound": bound, "severity": 0.6}
            for metric, bound in bounds
        ]
        action = {"sets": CONNECTIONS, "amounts": {"least": 1, "most": MOST}, "metrics": [QUEUE]}
        return {"objectives": objectives, "actions": {"set_connections": action}}

    def policies(self) -> dict[str, Policy]:
        """Return the rules of the comparison."""

        def both(seen: ObservedMetrics, tick: Any) -> list[WorldCommand]:
            now = seen.last(CONNECTIONS)
            if seen.last(DATABASE) > 140:
                return [WorldCommand("set_connections", max(1.0, now - 4))]
            return [WorldCommand("set_connections", min(MOST, now + 4))] if seen.last(QUEUE) > 10 else []

        return {"nothing": nothing, "threshold": both, "oracle": Oracle(self)}
