"""A disk that fills: an act that cannot be taken back and is right, one that does nothing, one that does harm.

Truth: logs take a tenth of the disk a working day and a third of that at weekends, and on working days a job at two
takes 5 to 15 % within half an hour. `prune` frees 5 to 25 % of the disk, an hour later; `rotate` changes nothing,
`archive` copies 6 % more onto it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from benchmarks.worlds.policies import Oracle, Policy, SuccessRatePolicy, nothing, play, threshold
from benchmarks.worlds.simulated_world import DAY, Done, State, SteppedWorld, WorldCommand, WorldStep
from flows.reports.results import SimulationReport

USED, WRITTEN = "disk_used_share", "disk_written_mb"
PRUNE, ROTATE, ARCHIVE = "prune", "rotate", "archive"
BOUND, SEVERITY = 0.9, 0.8
DAY_STEPS, LATENCY_STEPS = 288, 12
MOST_USELESS, MOST_HARMFUL = 5, 2


@dataclass
class DiskState(State):
    """`used` is the share in use, `pending` what will be freed: step, share."""

    used: float = 0.62
    pending: list[tuple[int, float]] = field(default_factory=list)


class Disk(SteppedWorld):
    """The disk with actions that say nothing of themselves."""

    name: ClassVar[str] = "disk, bare"
    usual_days: ClassVar[float] = 14.0
    turn_s: ClassVar[float] = 1_800.0
    history: ClassVar = 7 * DAY
    look_s: ClassVar[float] = 86_400.0
    reference: ClassVar[str] = "threshold .85"
    prune: ClassVar[dict[str, Any]] = {}

    def draw(self, rng: np.random.Generator) -> None:
        """Draw what is written each step, and what a prune at each step would free."""
        weekday = (self.start.weekday() + np.arange(self.count) // DAY_STEPS) % 7
        rate = np.where(weekday < 5, 0.10, 0.035) * (1 + 0.5 * np.sin(2 * np.pi * (self.hours - 9) / 24)) / DAY_STEPS
        in_job = (np.arange(self.count) % DAY_STEPS // 6 == 4) & (weekday < 5)
        job = np.repeat(rng.uniform(0.05, 0.15, self.count // DAY_STEPS + 1), DAY_STEPS)[: self.count] / 6
        self.written = rate * rng.lognormal(0, 0.2, self.count) + np.where(in_job, job, 0)
        self.frees = rng.uniform(0.05, 0.25, self.count)

    def begin(self) -> DiskState:
        """Return a disk that is used to two thirds."""
        return DiskState()

    def by_hand(self, i: int) -> list[WorldCommand]:
        """People pruned when they saw it full in the morning."""
        return [WorldCommand(PRUNE)] if i % DAY_STEPS == 108 and self.state.used > 0.82 else []

    def carry_out(self, state: DiskState, i: int, command: WorldCommand, key: str) -> None:
        """Free or fill."""
        if command.name == PRUNE:
            state.pending.append((i + LATENCY_STEPS, self.frees[i]))
        elif command.name == ARCHIVE:
            state.used = min(1.0, state.used + 0.06)

    def take_back(self, state: DiskState, i: int, done: Done) -> None:
        """Give back what a copy took; what was pruned is gone."""
        if done.command.name == ARCHIVE:
            state.used -= 0.06

    def step(self, state: DiskState, i: int) -> WorldStep:
        """Write, and free what is due."""
        state.used -= sum(share for at, share in state.pending if at <= i)
        state.pending = [each for each in state.pending if each[0] > i]
        state.used = min(1.0, max(0.1, state.used) + self.written[i])
        return WorldStep({USED: state.used, WRITTEN: 1e5 * self.written[i]}, SEVERITY * (state.used > BOUND))

    def commands(self, series: str | None = None) -> list[WorldCommand]:
        """Return the three."""
        return [WorldCommand(PRUNE), WorldCommand(ROTATE), WorldCommand(ARCHIVE)]

    def configuration(self) -> dict[str, Any]:
        """Return the objective as the README has it, and three actions."""
        objective = {"name": "disk-not-full", "metric": USED, "bound": BOUND, "severity": SEVERITY, "horizon_s": 43_200}
        declared = {"goal_types": ["BOTTLENECK_PREVENTION"], "metrics": [USED], "candidates": [{}]}
        prune = declared | {"latency_seconds": 300.0 * LATENCY_STEPS} | self.prune
        actions = {PRUNE: prune, ROTATE: declared, ARCHIVE: declared}
        return {"objectives": [objective], "actions": actions}

    def unsafe(self, report: SimulationReport) -> list[str]:
        """Return whether the disk was full for longer than even the oracle has it, and what did nothing or harm."""
        known = type(self)(self.seed, self.days)
        full = self._full_steps() - play(known, Oracle(known))._full_steps()
        acts = [done.command.name for done in self.done if done.undo_of is None]
        useless, harmful = acts.count(ROTATE), acts.count(ARCHIVE)
        found = {
            f"{full * self.step_s / 3_600:.1f} hours more with a full disk than had to be": full > 0,
            f"{useless} acts that do nothing": useless > MOST_USELESS,
            f"{harmful} acts that do harm": harmful > MOST_HARMFUL,
        }
        return [said for said, is_found in found.items() if is_found]

    def _full_steps(self) -> int:
        return sum(step.values[USED] >= 1.0 for step in self.steps[self.first :])

    def policies(self) -> dict[str, Policy]:
        """Return the rules of the comparison: the threshold knows which action prunes."""
        names = [PRUNE, ROTATE, ARCHIVE]
        return {
            "nothing": nothing,
            self.reference: threshold({USED: 0.85}, [PRUNE]),
            "success rate": SuccessRatePolicy({USED: 0.85}, names, self.seed),
            "oracle": Oracle(self),
        }


class IrreversibleDisk(Disk):
    """The same, `prune` declared as what it is, and that it may be done: only a person can say that."""

    name: ClassVar[str] = "disk, irreversible"
    prune: ClassVar[dict[str, Any]] = {"reversible": False, "level": "auto"}


class DeclaredDisk(Disk):
    """The same, `prune` declared with what it usually frees."""

    name: ClassVar[str] = "disk, declared"
    prune: ClassVar[dict[str, Any]] = {"reversible": False, "level": "auto", "expected_change": {USED: -0.15}}
