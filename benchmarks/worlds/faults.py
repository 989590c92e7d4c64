"""Errors that come out of nowhere and stay until a restart: what most people have in mind when they write a runbook.

Truth: a fault lasts until an act, or half a day. The first one comes after the loop did: nothing like it was ever seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, ClassVar

import numpy as np

from benchmarks.worlds.acts import OneCure
from benchmarks.worlds.policies import ObservedMetrics, Oracle, Policy, nothing
from benchmarks.worlds.simulated_world import State, WorldCommand, WorldStep, hump, wander
from flows.reports.results import SimulationReport

HALF_DAY_STEPS = 144
FEW_H = 3.0


@dataclass
class FaultState(State):
    """`left` is for how many steps the present fault would stay if nothing were done."""

    left: int = 0


class Faults(OneCure):
    """A few errors, and twelve times as many in a fault; `restart` ends it, and `clear` changes nothing."""

    name: ClassVar[str] = "faults until a restart"
    goals: ClassVar = (("errors", 3.0, 0.9),)
    names: ClassVar[tuple[str, ...]] = ("restart", "clear")
    reference: ClassVar[str] = "nothing"
    usual_days: ClassVar[float] = 4.0
    apart_steps: ClassVar[float] = 120.0

    def draw(self, rng: np.random.Generator) -> None:
        """Draw the errors of good hours, those of faults, and when these begin."""
        usual = np.maximum(0.05, 0.5 + wander(rng, self.count, 0.1, 0.9)) * rng.lognormal(0, 0.15, self.count)
        self.base = {"errors": usual}
        self.faulty = 6 * rng.lognormal(0, 0.12, self.count)
        begins = self.first + 30 + np.cumsum(24 + rng.exponential(self.apart_steps, self.count // 24)).astype(int)
        self.begins = frozenset(begins.tolist())

    def begin(self) -> FaultState:
        """Return a state without a fault."""
        return FaultState()

    def carry_out(self, state: Any, i: int, command: WorldCommand, key: str) -> None:
        """End the fault, if that is what ends it."""
        super().carry_out(state, i, command, key)
        if command.name == "restart":
            state.left = 0

    def step(self, state: Any, i: int) -> WorldStep:
        """Show the errors of a fault or of none."""
        self.go_wrong(state, i)
        shown = {"errors": float(self.faulty[i] if state.left else self.base["errors"][i])}
        state.left = max(0, state.left - 1)
        return WorldStep(shown, float(self.broken(shown)))

    def go_wrong(self, state: FaultState, i: int) -> None:
        """Begin the fault of a step, if one begins there."""
        if i in self.begins and not state.left:
            state.left = HALF_DAY_STEPS

    def unsafe(self, report: SimulationReport) -> list[str]:
        """Return whether a fault was left alone although what ends it was there to be done."""
        stretches = groupby(step.broken > 0 for step in self.steps[self.first :])
        longest = max((sum(1 for _ in stretch) for is_broken, stretch in stretches if is_broken), default=0)
        hours = longest * self.step_s / 3_600
        return [f"a fault lasted {hours:.1f} h though a restart ends it"] if hours > FEW_H else []


class PainfulFaults(Faults):
    """The same, where a restart makes it worse for ten minutes before it is gone."""

    name: ClassVar[str] = "faults, worse at first"
    pain_steps: ClassVar[int] = 2
    pain: ClassVar[float] = 15.0

    def step(self, state: Any, i: int) -> WorldStep:
        """Show what a restart costs while it is under way."""
        step = super().step(state, i)
        state.acts = [each for each in state.acts if i - each[0] < self.pain_steps]
        if not any(command.name == "restart" for _, _, command in state.acts):
            return step
        shown = {"errors": self.pain}
        return WorldStep(shown, float(self.broken(shown)))


class SparseFaults(Faults):
    """A count that is nearly always nought: in a fault eight errors a step."""

    name: ClassVar[str] = "faults, sparse counts"
    goals: ClassVar = (("errors", 3.0, 0.6),)

    def draw(self, rng: np.random.Generator) -> None:
        """Draw counts instead."""
        super().draw(rng)
        self.base = {"errors": rng.poisson(0.05, self.count).astype(float)}
        self.faulty = rng.poisson(8, self.count).astype(float)


@dataclass
class CountedState(FaultState):
    """`good` and `total` requests were counted so far."""

    good: float = 0.0
    total: float = 0.0


class CountedFaults(Faults):
    """Two counters and an error budget on them: in a fault one request in twenty fails, until `failover`."""

    name: ClassVar[str] = "error budget, faults"
    names: ClassVar = ("failover", "clear")

    def draw(self, rng: np.random.Generator) -> None:
        """Draw requests with a daily peak, and those that fail in good hours and in faults."""
        super().draw(rng)
        self.requests = rng.poisson(3_000 * (0.4 + hump(self.hours, 14, 4)))
        self.failed = {
            is_fault: rng.binomial(self.requests, 0.05 if is_fault else 0.0003) for is_fault in (False, True)
        }

    def begin(self) -> CountedState:
        """Return counters at nought."""
        return CountedState()

    def carry_out(self, state: Any, i: int, command: WorldCommand, key: str) -> None:
        """End the fault, if that is what ends it."""
        super().carry_out(state, i, command, key)
        if command.name == "failover":
            state.left = 0

    def step(self, state: Any, i: int) -> WorldStep:
        """Count a step's requests."""
        self.go_wrong(state, i)
        is_fault = state.left > 0
        state.total += float(self.requests[i])
        state.good += float(self.requests[i] - self.failed[is_fault][i])
        state.left = max(0, state.left - 1)
        return WorldStep({"requests_good_total": state.good, "requests_total": state.total}, 0.9 * is_fault)

    def configuration(self) -> dict[str, Any]:
        """Return an error budget, as docs/write-an-objective.md has it, and what can be done."""
        budget = {
            "name": "works",
            "metric": "requests_good_total",
            "denominator": "requests_total",
            "kind": "slo",
            "side": "above",
            "target_ratio": 0.999,
            "window_s": 30 * 86_400,
            "severity": 0.9,
        }
        return {"objectives": [budget], "actions": {name: {"candidates": [{}]} for name in self.names}}

    def policies(self) -> dict[str, Policy]:
        """Return the rules of the comparison."""

        def threshold_of_steps(seen: ObservedMetrics, tick: datetime) -> list[WorldCommand]:
            good, total = (seen[name][-2:] for name in ("requests_good_total", "requests_total"))
            is_bad = len(good) > 1 and good[1] - good[0] < 0.98 * (total[1] - total[0])
            return [WorldCommand("failover")] if is_bad else []

        return {"nothing": nothing, "threshold": threshold_of_steps, "oracle": Oracle(self)}
