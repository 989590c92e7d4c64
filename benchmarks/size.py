"""How large the one file gets: `make bench-size`, or `python -m benchmarks.size --days 7 --interval-minutes 5`.

Fifteen seeded series, one sample of each every ten seconds as this machine's own sampler writes them, the loop at its
default settings, upkeep every day: after that many days of virtual time the file is measured at rest. Printed are its
size over the bar, the size after every day, and what each table takes of it, counted by copying it out.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np

from flows.cycle import bare_turn
from flows.simulate import TickClock
from flows.upkeep import look_after
from flows.wiring import live_context
from handlers.worlds.declared import DeclaredWorld
from settings import Settings, load_settings
from storage import Store, open_store
from storage.records import Action, Event, Objective, Receipt, ReceiptStatus, Sample
from storage.samples import SampleColumns, series_id
from tasks.configured_actions import configured_actions, declared_actions

BAR_MB = 150.0
BAR_DAYS = 30
START = datetime(2026, 3, 2, tzinfo=UTC)
DAY_S = 86_400


class SeededHost:
    """Series such as a host has: a day's course, noise, and jumps now and then; six digits, as counters give."""

    def __init__(self, series: int, every_s: int, seed: int = 11, start: datetime = START) -> None:
        self.names = [f"host_figure_{number:02d}" for number in range(series)]
        self.every_s = every_s
        self.random = np.random.default_rng(seed)
        self.start, self.last_s = start, start.timestamp()

    def record(self, store: Store, until: datetime) -> None:
        """Record what came since the last call."""
        moments_s = np.arange(self.last_s + self.every_s, until.timestamp() + 0.5, self.every_s)
        self.last_s = until.timestamp()
        if not len(moments_s):
            return
        moments_us = (moments_s * 1e6).round().astype(np.int64)
        for number, name in enumerate(self.names):
            course = 50 + 20 * np.sin(2 * np.pi * moments_s / DAY_S + number)
            noise = self.random.normal(0, 3, len(moments_s))
            jumps = 15 * (self.random.random(len(moments_s)) < 0.002)
            values = (course + noise + jumps) * 10.0 ** (number % 5 - 2)
            numbers = np.full(len(values), series_id(name))
            store.samples.append_columns(SampleColumns({}, numbers, moments_us, values))

    def introduce(self, store: Store) -> None:
        """Make the series known."""
        store.samples.append([Sample(metric=name, value=50.0, ts=self.start) for name in self.names])
        store.events.append([Event(event_type="start", ts=self.start)])

    def observe(self, tick: datetime) -> Sequence[Sample]:
        """Return nothing: samples are written between the turns."""
        return ()

    def act(self, action: Action, tick: datetime) -> Receipt:
        """Change nothing, and say that it went well."""
        return Receipt(action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, started_at=tick, finished_at=tick)


def configuration(folder: Path, interval_minutes: float, host: SeededHost) -> Settings:
    """Return default settings with two objectives and an action, so that goals, decisions and outcomes come about."""
    return load_settings(
        folder,
        home=folder,
        agent={"analysis_interval_minutes": interval_minutes},
        use_default_objectives=False,
        objectives=tuple(
            Objective(name=name, metric=name, bound=bound, horizon_s=4 * 3_600)
            for name, bound in zip(host.names[2:8:5], (72.0, 72.0), strict=True)
        ),
        actions={"shed": {"goal_types": ["BOTTLENECK_PREVENTION"], "candidates": [{}], "cooldown_seconds": 1_800}},
    )


def run(store: Store, settings: Settings, host: SeededHost, clock: TickClock, days: float) -> Iterator[float]:
    """Let the loop run for some days; return the size of the file in MB at the end of each."""
    actions = declared_actions(settings)
    world = DeclaredWorld(host, configured_actions(settings, actions))
    step = timedelta(seconds=settings.analysis_interval_s)
    for number in range(1, int(days * DAY_S / step.total_seconds()) + 1):
        clock.now = host.start + number * step
        host.record(store, clock.now)
        context = live_context(settings, store, clock.now, "simulation", actions=actions, world=world, now=clock)
        store.cycles.begin(context.cycle)
        bare_turn(context)
        since_s = (clock.now - host.start).total_seconds()
        if since_s % DAY_S == 0:
            look_after(store, settings, clock.now)
            size_mb = at_rest_mb(settings.database_path)
            print(f"  day {since_s / DAY_S:3.0f}: {size_mb:7.1f} MB", file=sys.stderr, flush=True)
            yield size_mb


def at_rest_mb(file: Path) -> float:
    """Return the size of a database with its log."""
    return sum(part.stat().st_size for part in (file, file.with_name(file.name + ".wal")) if part.exists()) / 1e6


def by_table_mb(file: Path) -> dict[str, tuple[int, float]]:
    """Return rows and size of each table: what a file takes that holds nothing else, over an empty one."""
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as beside:
        beside.execute(f"ATTACH '{file}' AS kept (READ_ONLY)")
        tables = [name for (name,) in beside.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        sizes = {}
        for name in ["", *tables]:
            copy = Path(folder) / f"copy{name}.duckdb"
            beside.execute(f"ATTACH '{copy}' AS copy")
            if name:
                beside.execute(f"CREATE TABLE copy.{name} AS FROM kept.{name}")
            beside.execute("CHECKPOINT copy")
            beside.execute("DETACH copy")
            rows = beside.execute(f"SELECT count(*) FROM kept.{name}").fetchone() if name else (0,)
            sizes[name] = (rows[0] if rows else 0, copy.stat().st_size / 1e6)
            copy.unlink()
        empty_mb = sizes.pop("")[1]
        return {name: (rows, size_mb - empty_mb) for name, (rows, size_mb) in sizes.items() if rows}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=15)
    parser.add_argument("--days", type=float, default=BAR_DAYS)
    parser.add_argument("--every-seconds", type=int, default=10, help="between samples; 10 is the default")
    parser.add_argument("--interval-minutes", type=float, default=60.0, help="between cycles; 60 is the default")
    options = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.size", *sys.argv[1:]], {**os.environ, **single})
    with tempfile.TemporaryDirectory() as name:
        host, clock, begun_s = SeededHost(options.series, options.every_seconds), TickClock(START), time.monotonic()
        settings = configuration(Path(name), options.interval_minutes, host)
        with open_store(settings.database_path, clock) as store:
            host.introduce(store)
            sizes = list(run(store, settings, host, clock, options.days))
        closed_mb = at_rest_mb(settings.database_path)
        print(
            f"{options.series} series every {options.every_seconds} s, a cycle every {options.interval_minutes:g} min"
        )
        print(f"{'table':20}{'rows':>10}{'MB':>9}")
        sized = by_table_mb(settings.database_path)
        for table, (rows, size_mb) in sorted(sized.items(), key=lambda item: -item[1][1]):
            print(f"{table:20}{rows:>10}{size_mb:>9.1f}")
    print(f"after {options.days:g} days {closed_mb:.1f} MB (most at rest {max(sizes, default=closed_mb):.1f} MB)")
    if options.days >= BAR_DAYS:
        print(f"bar {BAR_MB:g} MB: {'met' if closed_mb <= BAR_MB else 'MISSED'}")
    print(f"measured in {time.monotonic() - begun_s:.0f} s", file=sys.stderr)
    sys.exit(closed_mb > BAR_MB)


if __name__ == "__main__":
    main()
