"""`python -m benchmarks.worlds.depth`: how soon the loop notices a changed world, and how often it errs in that.

In the changing world an act that helped for days harms from one moment on, and the metric's swings triple; the loop
must ask before it acts a third time to the worse. The quiet ones stay as they are for 30 days. All is as a new user
configures it. It ends with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from benchmarks.worlds.acts import HOUR_S, FourActs
from benchmarks.worlds.against_truth import plain_settings
from benchmarks.worlds.healthy_fleet import HealthyFleet
from benchmarks.worlds.simulated_world import SteppedWorld, WorldCommand, hump, wander
from flows.simulate import simulate

MOST_HARMFUL = 2
LOST = frozenset({"out of depth", "demoted"})


class QuietActs(FourActs):
    """A latency that rushes by day and at night, and one act that takes a fifth off it."""

    name: ClassVar[str] = "acts that go on helping"
    turn_s: ClassVar[float] = HOUR_S
    names: ClassVar = ("shed",)
    declared: ClassVar = {}
    claims: ClassVar = {}
    changes_after_days: ClassVar[float | None] = None

    def draw(self, rng: np.random.Generator) -> None:
        """Draw the metrics of the four acts; from the change on the latency swings three times as far."""
        super().draw(rng)
        after = self.changes_after_days
        self.changes_at = self.count if after is None else self.first + round(after * 86_400 / self.step_s)
        swings = np.where(np.arange(self.count) < self.changes_at, 1.0, 3.0)
        load = 185 + 50 * hump(self.hours, 14, 2.5) + 50 * hump(self.hours, 2, 2)
        noise = rng.lognormal(0, 0.03, self.count) ** swings
        self.base["latency"] = np.maximum(20.0, load + swings * wander(rng, self.count, 22, 0.97)) * noise

    def factor(self, series: str, command: WorldCommand, age_s: float, i: int) -> float:
        """Return a fifth off for an hour, or a quarter on once the world has changed."""
        if series != "latency" or age_s >= HOUR_S:
            return 1.0
        return 1.25 if i >= self.changes_at else 0.8


class ChangingActs(QuietActs):
    """The same until it changes after four days."""

    name: ClassVar[str] = "a regime that changes"
    turn_s: ClassVar[float] = HOUR_S / 3
    changes_after_days: ClassVar = 4.0


class QuietFleet(HealthyFleet):
    """Thirty healthy hosts, looked at once an hour."""

    turn_s: ClassVar[float] = HOUR_S


WORLDS: dict[str, tuple[type[SteppedWorld], float]] = {
    kind.name: (kind, days) for kind, days in ((ChangingActs, 6.0), (QuietActs, 30.0), (QuietFleet, 30.0))
}


@dataclass(frozen=True)
class DepthRun:
    """What one seed came to: how often the loop lost its depth, when first, and the harmful acts before and after.

    `in_vain` counts what it lost in the `quiet_days` in which nothing had changed.
    """

    world: str
    seed: int
    quiet_days: float
    in_vain: int
    lost: int
    first_lost_h: float | None
    harmful_before: int
    harmful_after: int
    acts: int
    reasons: tuple[str, ...]


def measure(job: tuple[str, int]) -> DepthRun:
    """Run the loop in one world; hours count from the change."""
    warnings.simplefilter("ignore")
    kind, days = WORLDS[job[0]]
    world = kind(job[1], days)
    with tempfile.TemporaryDirectory() as folder:
        report = simulate(world, plain_settings(world, Path(folder)), world.ticks)
    changes_at = world.moment(getattr(world, "changes_at", world.count))
    lines = [line for line in report.store.audit.latest(1_000_000)[::-1] if line.verb in LOST]
    lost = [line for line in lines if line.at >= changes_at]
    first = lost[0].at if lost else None
    harmful = _harmful_acts(world)
    before = [at for at in harmful if first is None or at < first]
    return DepthRun(
        *job,
        quiet_days=min(days, getattr(world, "changes_after_days", None) or days),
        in_vain=len(lines) - len(lost),
        lost=len(lost),
        first_lost_h=(first - changes_at).total_seconds() / HOUR_S if first else None,
        harmful_before=len(before),
        harmful_after=len(harmful) - len(before),
        acts=sum(done.undo_of is None for done in world.done),
        reasons=tuple(f"{line.at:%d %H:%M} {line.verb} {line.subject}: {line.detail['reason']}" for line in lines),
    )


def _harmful_acts(world: SteppedWorld) -> list[datetime]:
    """Return when each act was carried out that began once its world had changed."""
    if not isinstance(world, ChangingActs):
        return []
    return [world.moment(done.at) for done in world.done if done.undo_of is None and done.at >= world.changes_at]


def main() -> int:
    """Run, print the table, and return 1 where a bar is missed."""
    options = _options()
    jobs = [(name, seed) for name in options.world or WORLDS for seed in range(options.seeds)]
    with ProcessPoolExecutor(options.jobs) as workers:
        runs = list(workers.map(measure, jobs))
    console = Console(width=max(120, Console().width))
    console.print(_table(runs))
    for run in runs:
        for reason in run.reasons:
            console.print(f"  {run.world}, seed {run.seed}: {reason}", highlight=False)
    return int(not _holds(runs, console))


def _table(runs: Sequence[DepthRun]) -> Table:
    table = Table(title="Out of its depth", box=SIMPLE)
    for head in ("world", "seed", "acts", "quiet days", "in vain", "lost", "first, h", "harmful acts before", "after"):
        table.add_column(head, justify="left" if head == "world" else "right")
    for run in runs:
        first = "–" if run.first_lost_h is None else f"{run.first_lost_h:.1f}"
        counts = (
            run.seed,
            run.acts,
            f"{run.quiet_days:g}",
            run.in_vain,
            run.lost,
            first,
            run.harmful_before,
            run.harmful_after,
        )
        table.add_row(run.world, *map(str, counts))
    return table


def _holds(runs: Sequence[DepthRun], console: Console) -> bool:
    changed = [run for run in runs if run.world == ChangingActs.name]
    worst = max((run.harmful_before for run in changed), default=0)
    unseen = sum(run.first_lost_h is None for run in changed)
    in_vain = 30 * sum(run.in_vain for run in runs) / sum(run.quiet_days for run in runs)
    bars = [(f"times it lost its depth in 30 quiet days, less than 1: {in_vain:.2f}", in_vain < 1)]
    if changed:
        bars += [
            (f"harmful acts before it asks, at most {MOST_HARMFUL}: {worst}", worst <= MOST_HARMFUL),
            (f"changes that it did not notice: {unseen}", not unseen),
        ]
    for said, holds in bars:
        console.print(f"{'ok' if holds else 'BROKEN':<6} {said}", highlight=False)
    return all(holds for _, holds in bars)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worlds.depth", description=__doc__)
    parser.add_argument("--world", nargs="*", choices=list(WORLDS), help="only these")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
