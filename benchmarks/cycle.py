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
import psutil

from api.processes.layout import LEAN
from flows.cycle import turn
from flows.simulate import TickClock
from flows.wiring import live_context
from handlers.worlds.declared import DeclaredWorld
from settings import Settings, load_settings
from storage import Store, open_store, own_store
from storage.records import Action, Event, Objective, Receipt, ReceiptStatus, Sample, series_key
from storage.sample_window import micros
from storage.samples import SampleColumns, SeriesInfo, series_id
from tasks.configured_actions import configured_actions, declared_actions

PROJECT = Path(__file__).parents[1]
BAR_MS = 30.0
POINTS, STEP_S = 2_016, 300
START = datetime(2026, 3, 2, tzinfo=UTC)
STEP = timedelta(seconds=STEP_S)
STAGES = ("monitor", "patterns", "forecast", "goals", "plan", "execute", "measure", "learn")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--cycles", type=int, default=60)
    parser.add_argument("--attached", action="store_true", help="through the process that owns the store")
    parser.add_argument("--scale", type=int, nargs="+", metavar="SERIES", help="how a turn grows with series: 100 1000")
    parser.add_argument("--profile", metavar="STAGE", help="print where a stage (or `all`) spends its time")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--turns-of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    # One thread for numerics, and memory given back soon, as in every process of a stack: what is measured is work.
    if not LEAN.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.cycle", *sys.argv[1:]], {**os.environ, **LEAN})
    if options.serve:
        serve(options.serve)
        return
    if options.turns_of:
        turns_of(options.turns_of)
        return
    if options.scale:
        scale(options.scale)
        return
    with opened(options.attached) as (store, _):
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
    peaks_mb: dict[str, float]
    """The most memory resident in this process during each stage."""


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
        named = [SeriesInfo(series_key(metric, labels), metric, labels, "") for metric, labels in self.fleet.names()]
        numbers = np.array([series_id(each.series) for each in named])
        moments_us = micros(START) + np.arange(POINTS) * STEP_S * 1_000_000
        values = self.fleet.values(0, POINTS)
        # In the order in which time would bring them, some days at once.
        for steps in np.array_split(np.arange(POINTS), max(1, self.fleet.series // 100)):
            rows = np.tile(numbers, len(steps)), np.repeat(moments_us[steps], len(numbers))
            columns = SampleColumns({each.series: each for each in named}, *rows, values[:, steps].T.ravel())
            self.store.samples.append_columns(columns)
        self.store.events.append([Event(event_type="batch", ts=START + STEP * step) for step in range(0, POINTS, 36)])
        self.fleet.step = POINTS

    def cycle(self, profile: str | None = None) -> TurnTimes:
        """Run one cycle at the next step and time it."""
        tick = START + STEP * self.fleet.step
        self.clock.now = tick
        stages: dict[str, float] = {}
        peaks: dict[str, float] = {}

        def timed(stage: Any, *args: Any) -> Any:
            begun_s = time.process_time()
            forget_peak()
            is_profiled = profile is not None and profile in (stage.name, "all") and stage.name != "act"
            result = self._profiled(stage.fn, *args) if is_profiled else stage.fn(*args)
            stages[stage.name] = stages.get(stage.name, 0.0) + 1e3 * (time.process_time() - begun_s)
            peaks[stage.name] = max(peaks.get(stage.name, 0.0), most_memory_mb(os.getpid()))
            return result

        begun_s, begun_wall_s = time.process_time(), time.perf_counter()
        context = live_context(
            self.settings, self.store, tick, "simulation", actions=self.actions, world=self.world, now=self.clock
        )
        self.store.cycles.begin(context.cycle)
        with context.reports_together() as together:
            turn(timed, together)
        cpu_ms, wall_ms = 1e3 * (time.process_time() - begun_s), 1e3 * (time.perf_counter() - begun_wall_s)
        return TurnTimes(cpu_ms, wall_ms, stages, peaks)

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
def opened(attached: bool) -> Iterator[tuple[Store, psutil.Process | None]]:
    """Open a store in memory, or attach to one that another process owns, which is handed out as well."""
    if not attached:
        with open_store() as store:
            yield store, None
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.cycle", "--serve", folder]
        owner = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(PROJECT)}, stdin=subprocess.PIPE)
        try:
            while not (Path(folder) / "foreact.owner.json").exists():
                time.sleep(0.1)
            with open_store(Path(folder) / "foreact.duckdb") as store:
                yield store, psutil.Process(owner.pid)
        finally:
            owner.communicate()


def scale(counts: list[int]) -> None:
    """Print what the first and a later turn take through an owner as series grow, and the exponent of that growth.

    Processor seconds of both processes, the most memory of each (added up, though not at one time), and beside them
    what it takes to read all the samples once, without which there is no turn.
    """
    columns = "".join(f"{name:>9}" for name in ("first", "later", "owner", "read", "peak MB"))
    print(f"{'processor seconds, attached':>28}{columns}  stages of the first turn: s/peak MB")
    firsts = []
    for count in counts:
        # In a process of its own: what one fleet needed must not stand in the memory of the next.
        command = [sys.executable, "-m", "benchmarks.cycle", "--turns-of", str(count)]
        first_s, later_s, line = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split(
            " ", 2
        )
        firsts.append((float(first_s), float(later_s)))
        print(f"{count:>21} series{line}", end="", flush=True)
    for name, spent in zip(("first", "later"), zip(*firsts, strict=True), strict=True):
        exponent = np.polyfit(np.log(counts), np.log(spent), 1)[0] if len(counts) > 1 else float("nan")
        print(f"exponent of the {name} turn: {exponent:.2f}")


def turns_of(count: int) -> None:
    """Print what a first turn and three later ones take: for `scale`, which reads it."""
    with opened(attached=True) as (store, owner):
        assert owner is not None
        bench = Bench(store, count)
        bench.fill()
        before_s = sum(owner.cpu_times()[:2])
        tick = START + STEP * bench.fleet.step
        begun_s = time.process_time()
        store.samples.recent(tick - STEP * POINTS, tick).frame(
            [each.series for each in store.samples.known()], STEP_S, POINTS
        )
        read_s = time.process_time() - begun_s + sum(owner.cpu_times()[:2]) - before_s
        before_s = sum(owner.cpu_times()[:2])
        first = bench.cycle()
        first_owner_s = sum(owner.cpu_times()[:2]) - before_s
        before_s, later = sum(owner.cpu_times()[:2]), [bench.cycle() for _ in range(3)]
        later_owner_s = (sum(owner.cpu_times()[:2]) - before_s) / len(later)
        peak_mb = most_memory_mb(owner.pid) + max(max(each.peaks_mb.values()) for each in (first, *later))
    later_s = float(np.mean([each.cpu_ms for each in later])) / 1e3 + later_owner_s
    first_s = first.cpu_ms / 1e3 + first_owner_s
    stages = " ".join(
        f"{stage}={first.stages_ms.get(stage, 0.0) / 1e3:.2f}/{first.peaks_mb.get(stage, 0.0):.0f}" for stage in STAGES
    )
    figures = "".join(f"{each:9.2f}" for each in (first_s, later_s, first_owner_s, read_s))
    print(f"{first_s} {later_s} {figures}{peak_mb:9.0f}  {stages}")


def forget_peak() -> None:
    """Let `most_memory_mb` of this process begin anew, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def most_memory_mb(pid: int) -> float:
    """Return the most memory that a process ever had resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1_024 / 1e6


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
