"""How long one bare cycle takes, stage by stage: `make bench-cycle`, or `python -m benchmarks.cycle --series 200`.

A store is filled with a week of seeded series at five minutes, some with objectives that are about to break, and
actions that may be taken against it. Then cycles follow each other, a new value of every series before each. Printed
are the median and the 95th percentile of processor time of a whole cycle and of its stages, over the bar; the first
cycle, which has nothing to build on, stands apart. `--attached` measures through the process that owns the store.
Between the cycles a fixed task is timed as well, so that figures of two machines, or of two hours on a busy one, can be
held against each other: one trivial statement, a sort of 40,000 numbers, and 20,000 additions.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from flows.cycle import turn
from flows.simulate import TickClock
from flows.wiring import live_context
from handlers.worlds.declared import DeclaredWorld
from settings import Settings, load_settings
from storage import Store, open_store, own_store
from storage.records import Action, Event, Objective, Receipt, ReceiptStatus, Sample, series_key
from tasks.configured_actions import configured_actions, declared_actions

PROJECT = Path(__file__).parents[1]
BAR_MS = 30.0
POINTS, STEP_S = 2_016, 300
START = datetime(2026, 3, 2, tzinfo=UTC)
STEP = timedelta(seconds=STEP_S)
SINGLE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""One thread for numerics: what is measured is work, not cores."""
STAGES = ("monitor", "patterns", "forecast", "goals", "plan", "execute", "measure", "learn")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--cycles", type=int, default=60)
    parser.add_argument("--attached", action="store_true", help="through the process that owns the store")
    parser.add_argument("--profile", metavar="STAGE", help="print where a stage (or `all`) spends its time")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not SINGLE.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.cycle", *sys.argv[1:]], {**os.environ, **SINGLE})
    if options.serve:
        serve(options.serve)
        return
    with opened(options.attached) as store:
        bench = Bench(store, options.series)
        bench.fill()
        first = bench.cycle()
        bench.cycle()
        later = [(bench.cycle(options.profile), bench.yardstick()) for _ in range(options.cycles)]
    report(first, [taken for taken, _ in later], options.series)
    print(f"this machine, fixed task beside each cycle: {np.median([ms for _, ms in later]):.2f} ms")
    if bench.profiler is not None:
        show_profile(bench.profiler)


@dataclass(frozen=True)
class TurnTimes:
    """Milliseconds of one cycle: processor time of the whole and of each stage, and by the clock on the wall."""

    cpu_ms: float
    wall_ms: float
    stages_ms: dict[str, float]


@dataclass
class Fleet:
    """Seeded series with a day in them, every fourth of which creeps towards its bound; acts lower them."""

    series: int
    seed: int = 5
    step: int = 0
    shift: dict[str, float] = field(default_factory=dict)

    def names(self) -> list[tuple[str, dict[str, str]]]:
        """Return metric and labels of each series."""
        return [("load", {"node": f"n{number:03d}"}) for number in range(self.series)]

    def values(self, first: int, count: int) -> np.ndarray[Any, Any]:
        """Return the values at some steps, (series, count); the same step has the same value each time."""
        steps = np.arange(first, first + count)
        rows = np.arange(self.series)[:, None]
        day = 12 * np.sin(2 * np.pi * (steps * STEP_S / 86_400 + rows / 7))
        creep = np.where(rows % 4 == 0, 0.009 * steps, 0.0)
        noise = np.stack([np.random.default_rng([self.seed, s]).normal(0, 2, self.series) for s in steps], axis=1)
        return np.asarray(55 + 4 * (rows % 3) + day + creep + noise)

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        """Return the value of every series at the next step, and an event now and then."""
        for (metric, labels), value in zip(self.names(), self.values(self.step, 1)[:, 0], strict=True):
            name = series_key(metric, labels)
            yield Sample(metric=metric, labels=labels, value=float(value) + self.shift.get(name, 0.0), ts=tick)
        if self.step % 36 == 0:
            yield Event(event_type="batch", ts=tick)
        self.step += 1

    def act(self, action: Action, tick: datetime) -> Receipt:
        """Lower the series that is aimed at where the action is the one that works."""
        if action.name == "shed" and action.series:
            self.shift[action.series] = self.shift.get(action.series, 0.0) - 6.0
        return Receipt(action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, started_at=tick, finished_at=tick)


class Bench:
    """A store, a fleet, and the loop over both."""

    def __init__(self, store: Store, series: int) -> None:
        self.store, self.fleet = store, Fleet(series)
        self.clock = TickClock(START)
        self.settings = configuration(self.fleet)
        self.actions = declared_actions(self.settings)
        self.world = DeclaredWorld(self.fleet, configured_actions(self.settings, self.actions))
        self.profiler: Any = None
        self.beside, self.numbers = duckdb.connect(), np.random.default_rng(0).normal(size=40_000)

    def fill(self) -> None:
        """Record the week before the first cycle."""
        values = self.fleet.values(0, POINTS)
        for (metric, labels), row in zip(self.fleet.names(), values, strict=True):
            self.store.samples.append(
                [
                    Sample(metric=metric, labels=labels, value=float(value), ts=START + STEP * step)
                    for step, value in enumerate(row)
                ]
            )
        self.store.events.append([Event(event_type="batch", ts=START + STEP * step) for step in range(0, POINTS, 36)])
        self.fleet.step = POINTS

    def cycle(self, profile: str | None = None) -> TurnTimes:
        """Run one cycle at the next step and time it."""
        tick = START + STEP * self.fleet.step
        self.clock.now = tick
        stages: dict[str, float] = {}

        def timed(stage: Any, *args: Any) -> Any:
            begun_s = time.process_time()
            is_profiled = profile is not None and profile in (stage.name, "all") and stage.name != "act"
            result = self._profiled(stage.fn, *args) if is_profiled else stage.fn(*args)
            stages[stage.name] = stages.get(stage.name, 0.0) + 1e3 * (time.process_time() - begun_s)
            return result

        begun_s, begun_wall_s = time.process_time(), time.perf_counter()
        context = live_context(
            self.settings, self.store, tick, "simulation", actions=self.actions, world=self.world, now=self.clock
        )
        self.store.cycles.begin(context.cycle)
        with context.reports_together() as together:
            turn(timed, together)
        cpu_ms, wall_ms = 1e3 * (time.process_time() - begun_s), 1e3 * (time.perf_counter() - begun_wall_s)
        return TurnTimes(cpu_ms, wall_ms, stages)

    def yardstick(self) -> float:
        """Return the processor time in milliseconds of a task that is the same whatever this project does."""
        begun_s = time.process_time()
        self.beside.execute("SELECT 1").fetchall()
        np.sort(self.numbers)
        sum(number + 1 for number in range(20_000))
        return 1e3 * (time.process_time() - begun_s)

    def _profiled(self, call: Any, *args: Any) -> Any:
        import cProfile

        self.profiler = self.profiler or cProfile.Profile()
        return self.profiler.runcall(call, *args)


def configuration(fleet: Fleet) -> Settings:
    """Return settings with an objective for every other series, and three actions."""
    objectives = tuple(
        Objective(name=f"load-{labels['node']}", metric=series_key(metric, labels), bound=92.0, horizon_s=4 * 3_600)
        for metric, labels in fleet.names()[::2]
    )
    declared = {
        "goal_types": ["BOTTLENECK_PREVENTION", "CAPACITY_PLANNING"],
        "metrics": ["load"],
        "candidates": [{}],
        "cooldown_seconds": 1_800,
        "expected_effect": {"load": -0.5},
    }
    with tempfile.TemporaryDirectory() as folder:
        return load_settings(
            folder,
            home=folder,
            use_default_objectives=False,
            objectives=objectives,
            agent={"analysis_interval_minutes": 5},
            executor={"measure_horizon_seconds": 3_600, "rate_limits": ["100/day"]},
            actions=dict.fromkeys(("shed", "stir", "ponder"), declared),
        )


@contextlib.contextmanager
def opened(attached: bool) -> Iterator[Store]:
    """Open a store in memory, or attach to one that another process owns."""
    if not attached:
        with open_store() as store:
            yield store
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.cycle", "--serve", folder]
        owner = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(PROJECT)}, stdin=subprocess.PIPE)
        try:
            while not (Path(folder) / "foreact.owner.json").exists():
                time.sleep(0.1)
            with open_store(Path(folder) / "foreact.duckdb") as store:
                yield store
        finally:
            owner.communicate()


def serve(folder: Path) -> None:
    """Own a store until the other side closes the pipe."""
    with own_store(folder / "foreact.duckdb"):
        sys.stdin.read()


def report(first: TurnTimes, later: list[TurnTimes], series: int) -> None:
    """Print the table."""
    print(f"{'one bare cycle, ' + str(series) + ' series, ms':36}{'median':>9}{'p95':>9}{'first':>9}")
    for stage in (*STAGES, "act"):
        spent = [taken.stages_ms.get(stage, 0.0) for taken in later]
        name = "act (within execute)" if stage == "act" else stage
        print(f"{name:36}{_middle(spent)}{first.stages_ms.get(stage, 0.0):9.1f}")
    for name, of in (("whole, processor time", "cpu_ms"), ("whole, by the clock", "wall_ms")):
        print(f"{name:36}{_middle([getattr(taken, of) for taken in later])}{getattr(first, of):9.1f}")
    median = float(np.median([taken.cpu_ms for taken in later]))
    print(f"bar for 20 series: {BAR_MS:.0f} ms; measured {median:.1f} ms, {median / BAR_MS:.2f} of it")


def _middle(spent: list[float]) -> str:
    return f"{np.median(spent):9.1f}{np.percentile(spent, 95):9.1f}"


def show_profile(profiler: Any) -> None:
    """Print what costs most."""
    import pstats

    pstats.Stats(profiler).sort_stats("cumulative").print_stats(60)


if __name__ == "__main__":
    main()
