"""A pool of workers that takes jobs in turn: an amount whose effect is no ratio, since what is not done waits.

Truth: a worker does six jobs a minute from five minutes after it was asked for; too few and the oldest job ages a
minute a minute, too many and they idle. Right is the number that the next minutes' arrivals need, asked for in time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

import numpy as np

from benchmarks.worlds.policies import ObservedMetrics, Policy, nothing
from benchmarks.worlds.simulated_world import DAY, Done, State, SteppedWorld, WorldCommand, WorldStep, hump
from flows.reports.results import SimulationReport

ARRIVALS, BACKLOG, AGE, WORKERS = "jobs_per_minute", "queue_jobs", "queue_oldest_seconds", "workers"
JOBS_A_MINUTE, LATENCY_STEPS, MOST = 6.0, 5, 30
BOUND_S, SEVERITY, WORKER_COST = 300.0, 0.8, 0.01
DAY_STEPS = 1_440


@dataclass
class PoolState(State):
    """`queue` holds (minute of arrival, jobs), oldest first; `coming` (minute, workers) that are asked for."""

    workers: int = 10
    queue: list[tuple[int, float]] = field(default_factory=list)
    coming: list[tuple[int, int]] = field(default_factory=list)

    @property
    def asked(self) -> int:
        """Return how many workers there will be."""
        return self.workers + sum(count for _, count in self.coming)


class Pool(SteppedWorld):
    """The pool with objective and action alone."""

    name: ClassVar[str] = "pool"
    step_s: ClassVar[float] = 60.0
    turn_s: ClassVar[float] = 300.0
    history: ClassVar = 3 * DAY
    look_s: ClassVar[float] = 5_400.0
    act_cost: ClassVar[float] = 0.0
    reference: ClassVar[str] = "threshold"
    blind_steps: ClassVar[int] = 1
    """By how many workers a move down may miss where nothing says what drives the queue: it can but feel its way."""

    def draw(self, rng: np.random.Generator) -> None:
        """Draw arrivals: a daily peak, and a burst at noon that is not quite the same each day."""
        peak = np.repeat(rng.normal(1, 0.08, 30), DAY_STEPS)[: self.count]
        burst = np.repeat(rng.normal(1, 0.15, 30), DAY_STEPS)[: self.count]
        rates = 18 + 55 * peak * hump(self.hours, 15, 3.0) + 50 * burst * hump(self.hours, 12.2, 0.25)
        self.arrivals = rng.poisson(rates).astype(float)

    def begin(self) -> PoolState:
        """Return an empty queue and ten workers."""
        return PoolState()

    def by_hand(self, i: int) -> list[WorldCommand]:
        """People had fewer workers at night, and rounded up by day."""
        return {8 * 60: [WorldCommand("set_workers", 18.0)], 20 * 60: [WorldCommand("set_workers", 7.0)]}.get(
            i % DAY_STEPS, []
        )

    def carry_out(self, state: PoolState, i: int, command: WorldCommand, key: str) -> None:
        """Go to an amount: fewer at once, more in five minutes."""
        workers = min(MOST, max(1, round(command.amount or 1)))
        if workers > state.asked:
            state.coming.append((i + LATENCY_STEPS, workers - state.asked))
            return
        surplus = state.asked - workers
        while surplus and state.coming:
            at, count = state.coming.pop()
            if count > surplus:
                state.coming.append((at, count - surplus))
            surplus -= min(surplus, count)
        state.workers -= surplus

    def take_back(self, state: PoolState, i: int, done: Done) -> None:
        """Go to the amount before."""
        self.carry_out(state, i, WorldCommand("set_workers", float(done.before.asked)), done.key)

    def takes_back(self, done: Done, later: Done) -> bool:
        """Tell whether a later act brought back at least the workers that an act had taken away."""
        return bool((later.command.amount or 0) >= done.before.asked)

    def step(self, state: PoolState, i: int) -> WorldStep:
        """Let a minute's jobs come and the workers do theirs."""
        state.workers += sum(count for at, count in state.coming if at <= i)
        state.coming = [each for each in state.coming if each[0] > i]
        if self.arrivals[i]:
            state.queue.append((i, float(self.arrivals[i])))
        left, gone = state.workers * JOBS_A_MINUTE, 0
        for at, jobs in state.queue:
            if jobs > left:
                state.queue[gone] = (at, jobs - left)
                break
            left, gone = left - jobs, gone + 1
        del state.queue[:gone]
        age_s = 60.0 * (i - state.queue[0][0]) if state.queue else 0.0
        backlog = sum(jobs for _, jobs in state.queue)
        values = {ARRIVALS: float(self.arrivals[i]), BACKLOG: backlog, AGE: age_s, WORKERS: float(state.asked)}
        return WorldStep(values, SEVERITY * (age_s > BOUND_S), WORKER_COST * state.asked)

    def commands(self, series: str | None = None) -> list[WorldCommand]:
        """Return amounts close enough for a choice among them to be as good as among all."""
        return [
            WorldCommand("set_workers", float(amount)) for amount in (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 17, 20, 25, MOST)
        ]

    def configuration(self) -> dict[str, Any]:
        """Return what is wanted and what can be set."""
        objective = {"name": "queue-age", "metric": AGE, "bound": BOUND_S, "severity": SEVERITY, "horizon_s": 3_600}
        action = {
            "sets": WORKERS,
            "amounts": {"least": 1, "most": MOST},
            "latency_seconds": 60.0 * LATENCY_STEPS,
            "metrics": [AGE, BACKLOG],
        }
        return {"objectives": [objective], "actions": {"set_workers": action}}

    def unsafe(self, report: SimulationReport) -> list[str]:
        """Return whether workers were taken away from a queue that was too old, or too many for what arrives."""
        lowered = [
            done
            for done in self.done
            if done.undo_of is None and (amount := done.command.amount) is not None and amount < done.before.asked
        ]
        against = [done for done in lowered if self.steps[done.at - 1].values[AGE] > BOUND_S]
        short = [done for done in lowered if (done.command.amount or 0) + self.blind_steps < self.needed(done.at)]
        found = {
            f"{len(against)} moves of the amount against a breach": bool(against),
            f"{len(short)} amounts set below what arrives": bool(short),
        }
        return [said for said, is_found in found.items() if is_found]

    def needed(self, i: int) -> float:
        """Return the workers that the last quarter of an hour's jobs took."""
        return float(self.arrivals[max(0, i - 15) : i].mean()) / JOBS_A_MINUTE

    def policies(self) -> dict[str, Policy]:
        """Return the rules of the comparison."""
        sweep = [(load, ahead) for load in (0.8, 0.9, 1.0) for ahead in (5, 10)]
        return {
            "nothing": nothing,
            "constant 20": lambda seen, tick: [WorldCommand("set_workers", 20.0)],
            "threshold": Threshold(),
            "HPA + backlog": autoscaler,
            "yesterday": yesterday,
            **{f"foresight {load} {ahead}": PoolForesight(self, load, ahead) for load, ahead in sweep},
        }


class DrivenPool(Pool):
    """The same pool, declared by the recipe in docs/planning.md: driver, capacity, and what a worker costs."""

    name: ClassVar[str] = "pool, driver and capacity"
    blind_steps: ClassVar[int] = 0

    def configuration(self) -> dict[str, Any]:
        """Return the same with what drives the age and what carries it."""
        plain = super().configuration()
        plain["objectives"][0] |= {"driver": ARRIVALS, "capacity": WORKERS}
        plain["actions"]["set_workers"] |= {"unit_cost": WORKER_COST}
        return plain


class Threshold:
    """A third more workers while the oldest job is too old, one fewer after a quarter of an hour well under it."""

    def __init__(self) -> None:
        self._calm = 0

    def __call__(self, seen: ObservedMetrics, tick: datetime) -> list[WorldCommand]:
        """Look at the age of the oldest job."""
        age_s, workers = seen.last(AGE), seen.last(WORKERS)
        self._calm = self._calm + 1 if age_s < BOUND_S / 4 else 0
        if age_s > BOUND_S:
            return [WorldCommand("set_workers", math.ceil(workers * 4 / 3))]
        if self._calm >= 3:
            self._calm = 0
            return [WorldCommand("set_workers", max(1.0, workers - 1))]
        return []


def sized(jobs_a_minute: float, load: float = 0.8) -> list[WorldCommand]:
    """Return the command for the workers that a rate needs at a load."""
    return [WorldCommand("set_workers", float(min(MOST, max(1, math.ceil(jobs_a_minute / (JOBS_A_MINUTE * load))))))]


def autoscaler(seen: ObservedMetrics, tick: datetime) -> list[WorldCommand]:
    """Size for the last five minutes' arrivals, with the backlog to be done in ten minutes."""
    return sized(float(np.mean(seen[ARRIVALS][-5:])) + seen.last(BACKLOG) / 10)


def yesterday(seen: ObservedMetrics, tick: datetime) -> list[WorldCommand]:
    """Size for the busiest five minutes of the next quarter of an hour, as it was yesterday."""
    past = seen[ARRIVALS][-DAY_STEPS : -DAY_STEPS + 20]
    return sized(max(float(np.mean(past[n : n + 5])) for n in range(0, 15, 5)) + seen.last(BACKLOG) / 10)


class PoolForesight:
    """Sizes for the true arrivals of the minutes that this choice is for, at a load; the best of a sweep counts."""

    def __init__(self, world: Pool, load: float, ahead: int) -> None:
        self.world, self.load, self.ahead = world, load, ahead

    def __call__(self, seen: ObservedMetrics, tick: datetime) -> list[WorldCommand]:
        """Ask for what the busiest five minutes from when it will be there need."""
        i = self.world.now
        soon = self.world.arrivals[i : i + LATENCY_STEPS + self.ahead]
        rate = max(float(soon[n : n + 5].mean()) for n in range(0, max(1, len(soon) - 4)))
        return sized(rate + seen.last(BACKLOG) / 10, self.load)
