"""A healthy fleet: thirty series with a daily cycle, slow wander and noise, far from their bound. Right is nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import numpy as np

from benchmarks.worlds.policies import Policy, nothing
from benchmarks.worlds.simulated_world import DAY, State, SteppedWorld, WorldCommand, WorldStep, wander
from flows.reports.results import SimulationReport

SERIES = tuple(f'host_load{{host="h{n:02d}"}}' for n in range(30))
BOUND = 100.0


class HealthyFleet(SteppedWorld):
    """The fleet after a week."""

    name: ClassVar[str] = "healthy fleet"
    turn_s: ClassVar[float] = 1_800.0
    history: ClassVar[timedelta] = 7 * DAY
    reference: ClassVar[str] = "nothing"

    def draw(self, rng: np.random.Generator) -> None:
        """Draw levels, phases, wanders and noise."""
        rows = []
        for _ in SERIES:
            cycle = rng.uniform(4, 10) * np.sin(2 * np.pi * (self.hours - rng.uniform(8, 12)) / 24)
            slow = wander(rng, self.count, rng.uniform(2, 4), 0.99)
            rows.append(rng.uniform(35, 55) + cycle + slow + rng.normal(0, rng.uniform(0.5, 1.5), self.count))
        self.rows = np.array(rows)

    def begin(self) -> State:
        """Return what needs no more than the acts in force."""
        return State()

    def step(self, state: State, i: int) -> WorldStep:
        """Show every host; a restart changes nothing."""
        values = dict(zip(SERIES, self.rows[:, i].tolist(), strict=True))
        return WorldStep(values, 0.5 * float((self.rows[:, i] > BOUND).mean()))

    def commands(self, series: str | None = None) -> list[WorldCommand]:
        """Return the one thing that can be done."""
        return [WorldCommand("restart", series=series)]

    def configuration(self) -> dict[str, Any]:
        """Return a bound for every host and an action for all kinds of goal."""
        objective = {"name": "host-load", "metric": "host_load", "bound": BOUND, "severity": 0.5}
        return {"objectives": [objective], "actions": {"restart": {"metrics": ["host_load"], "candidates": [{}]}}}

    def unsafe(self, report: SimulationReport) -> list[str]:
        """Return whether it said or did more than nothing."""
        said = [f"{len(report.goals) / self.days:.1f} goals a day on a healthy fleet"]
        did = [f"{len(self.done)} acts on a healthy fleet"]
        return said * (len(report.goals) > self.days) + did * bool(self.done)

    def policies(self) -> dict[str, Policy]:
        """Return what is right."""
        return {"nothing": nothing, "oracle": nothing}


class YoungFleet(HealthyFleet):
    """The fleet when it was first seen a day ago."""

    name: ClassVar[str] = "healthy fleet, a day old"
    history: ClassVar[timedelta] = DAY
