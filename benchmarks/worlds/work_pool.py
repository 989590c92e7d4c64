"""A work pool of flow runs: a nightly pipeline with a deadline behind whatever else was queued before it.

Truth: twelve slots work off runs in turn, the pipeline's first where `prioritise` is in force; `more_slots` adds six,
both for two hours; `start_earlier` lets the next pipeline begin an hour before its time; `restart_worker` changes
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from benchmarks.worlds.policies import Oracle, Policy, SuccessRatePolicy, nothing, threshold
from benchmarks.worlds.simulated_world import DAY, State, SteppedWorld, WorldCommand, WorldStep, hump

ELAPSED, QUEUED, LATE, BUSY = "pipeline_elapsed_seconds", "queued_runs", "late_runs", "busy_slots"
NAMES = ("more_slots", "prioritise", "start_earlier", "restart_worker")
SLOTS, MORE = 12, 6
RUN_MINUTES, STEP_MINUTES = 6.0, 5.0
BOUND_S, SEVERITY = 6_600.0, 0.8
DAY_STEPS, STARTS_AT, EARLIER_STEPS = 288, 24, 12
LASTS_STEPS = 24
LATE_AFTER_STEPS = 3


@dataclass
class FlowsState(State):
    """Minutes of work that wait, oldest first, as (step, minutes): the pipeline's and all others'."""

    pipeline: list[tuple[int, float]] = field(default_factory=list)
    others: list[tuple[int, float]] = field(default_factory=list)
    begun: int = -1
    """The day whose pipeline has begun."""


class Flows(SteppedWorld):
    """The pool of a team that has one pipeline with a deadline."""

    name: ClassVar[str] = "work pool of flow runs"
    history: ClassVar = 5 * DAY
    look_s: ClassVar[float] = 14_400.0
    reference: ClassVar[str] = "elapsed over p90"

    def draw(self, rng: np.random.Generator) -> None:
        """Draw the other runs of each step, more at night, and each night's pipeline, all in minutes of work."""
        nights = np.repeat(rng.lognormal(0, 0.25, self.count // DAY_STEPS + 1), DAY_STEPS)[: self.count]
        rates = 4 + 9 * nights * hump(self.hours, 2.0, 1.0) + 2 * hump(self.hours, 14, 3)
        self.runs = rng.poisson(rates) * RUN_MINUTES
        self.pipelines = rng.lognormal(np.log(1_350), 0.15, self.count // DAY_STEPS + 2)

    def begin(self) -> FlowsState:
        """Return an empty pool."""
        return FlowsState()

    def step(self, state: FlowsState, i: int) -> WorldStep:
        """Take in what is due, and let the slots work for five minutes."""
        state.acts = [each for each in state.acts if i - each[0] < DAY_STEPS]
        self._begin_pipeline(state, i)
        if self.runs[i]:
            state.others.append((i, float(self.runs[i])))
        running = {command.name for at, _, command in state.acts if i - at < LASTS_STEPS}
        slots = SLOTS + MORE * ("more_slots" in running)
        left = spare = slots * STEP_MINUTES
        if "prioritise" in running:
            spare = _work(state.others, _work(state.pipeline, left))
        else:
            share = _before(state, left)
            spare = _work(state.pipeline, _work(state.others, left - share) + share)
            spare = _work(state.others, spare)
        elapsed_s = 300.0 * (i + 1 - state.pipeline[0][0]) if state.pipeline else 0.0
        waiting = sum(minutes for _, minutes in state.others) / RUN_MINUTES
        late = sum(minutes for at, minutes in state.others if i - at >= LATE_AFTER_STEPS) / RUN_MINUTES
        values = {ELAPSED: elapsed_s, QUEUED: waiting, LATE: late, BUSY: (left - spare) / STEP_MINUTES}
        return WorldStep(values, SEVERITY * (elapsed_s > BOUND_S))

    def _begin_pipeline(self, state: FlowsState, i: int) -> None:
        """Begin the night's pipeline at two, or an hour before where somebody saw to that within the day before."""
        day, step = divmod(i, DAY_STEPS)
        is_early = any(command.name == "start_earlier" for _, _, command in state.acts)
        if state.begun < day and step >= STARTS_AT - EARLIER_STEPS * is_early:
            state.begun = day
            state.pipeline.append((i, float(self.pipelines[day])))
            state.acts = [each for each in state.acts if each[2].name != "start_earlier"]

    def commands(self, series: str | None = None) -> list[WorldCommand]:
        """Return the four."""
        return [WorldCommand(name) for name in NAMES]

    def configuration(self) -> dict[str, Any]:
        """Return the deadline as an objective, and four actions."""
        objective = {"name": "pipeline", "metric": ELAPSED, "bound": BOUND_S, "severity": SEVERITY, "horizon_s": 14_400}
        plain = {"goal_types": ["BOTTLENECK_PREVENTION"], "metrics": [ELAPSED], "candidates": [{}]}
        lasting = plain | {"duration_seconds": 300.0 * LASTS_STEPS}
        return {
            "objectives": [objective],
            "actions": {name: plain if name == "start_earlier" else lasting for name in NAMES},
        }

    def policies(self) -> dict[str, Policy]:
        """Return the rules of the comparison; the alert knows that more slots help.

        It does not wait for the length that nine past nights of ten kept to: that lies behind the deadline in every
        seed, and nine tenths of the deadline before it.
        """
        late_s = 0.9 * BOUND_S
        return {
            "nothing": nothing,
            self.reference: threshold({ELAPSED: late_s}, ["more_slots"], 7_200),
            "success rate": SuccessRatePolicy({ELAPSED: late_s}, NAMES, self.seed),
            "oracle": Oracle(self),
        }


def _before(state: FlowsState, minutes: float) -> float:
    """Return how much of some minutes of work the pipeline gets in turn: what is left by those that came before it."""
    if not state.pipeline:
        return 0.0
    ahead = sum(each for at, each in state.others if at <= state.pipeline[0][0])
    return max(0.0, minutes - ahead)


def _work(queue: list[tuple[int, float]], minutes: float) -> float:
    """Work a queue off, oldest first; return the minutes that were left."""
    while queue and minutes > 0:
        at, work_left = queue[0]
        if work_left > minutes:
            queue[0] = (at, work_left - minutes)
            return 0.0
        minutes -= work_left
        del queue[0]
    return minutes
