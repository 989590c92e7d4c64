"""Whether it stays as small and quick as it was: `make bench-endurance`, `python -m benchmarks.endurance --minutes 2`.

Pushes lists of samples to a real facade for an hour. With `--cycles` another process runs a month of cycles instead,
one after the other on a simulated clock over the store of that facade, upkeep every day, while the facade is asked what
pages ask. Memory of the processes, the size of the database with its log, and the 99th percentile of answers are looked
at sixty times, or once a day. Printed is how each went in the second half: the slope of Theil and Sen with its 90 %
interval, and what that comes to; the bar is 5 %. BROKEN, and exit code 1, is what grew by more and does grow by its
interval; `unclear` is what may be chance. What is pushed stays, so that the file grows: by no more than a sample takes
uncompressed. The month is kept for ten days, so that its file must be as flat as the rest.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import psutil
from scipy.stats import theilslopes

from api.processes.layout import LEAN
from benchmarks.api import API, READS, environment, facade
from benchmarks.size import SeededHost, at_rest_mb, run
from flows.simulate import TickClock
from settings import load_settings
from storage import open_store

BAR_GROWTH = 0.05
BAR_SAMPLE_BYTES = 32
"""Series, two moments and a value, eight bytes each."""
SERIES, LISTS_PER_S = 100, 10
LOOKS = 60
FILE, LATENCY = "file, MB", "p99 of an answer, ms"
MONTH = """
use_default_objectives = false
[sampler]
enabled = false
[storage]
samples_days = 10
forecasts_days = 10
records_days = 10
[actions.shed]
goal_types = ["BOTTLENECK_PREVENTION"]
candidates = [{}]
cooldown_seconds = 1800
""" + "".join(
    f'[[objectives]]\nname = "{name}"\nmetric = "{name}"\nbound = 72.0\nhorizon_s = 14400\n'
    for name in ("host_figure_02", "host_figure_07")
)


@dataclass(frozen=True)
class EnduranceLook:
    """What was found at one moment, by the name of each figure."""

    at: float
    figures: dict[str, float]


@dataclass(frozen=True)
class Slope:
    """How a figure went in the second half: a unit of time, with its 90 % interval, and in all as a ratio."""

    per_unit: float
    low: float
    high: float
    grown_ratio: float

    @property
    def verdict(self) -> str:
        """Say whether it was flat."""
        if self.grown_ratio <= BAR_GROWTH:
            return "met"
        return "BROKEN" if self.low > 0 else "unclear"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="of pushing; 2 are enough to try it")
    parser.add_argument("--cycles", action="store_true", help="instead: a month of cycles on a simulated clock")
    parser.add_argument("--days", type=int, default=30, help="that the month has; 6 are enough to try it")
    parser.add_argument("--month-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.month_of:
        run_month(options.month_of, options.days)
        return
    with tempfile.TemporaryDirectory() as name:
        verdicts = month(Path(name), options.days) if options.cycles else pushing(Path(name), options.minutes)
    sys.exit("BROKEN" in verdicts)


def pushing(folder: Path, minutes: float) -> list[str]:
    """Push for some minutes; print and return what came of each bar."""
    file = load_settings(folder).database_path
    with facade(folder) as (process, client):
        before_mb, begun_s, sent = at_rest_mb(file), time.monotonic(), itertools.count()

        def ask() -> None:
            push(client, next(sent))

        looks = watch(
            {"facade": process},
            file,
            ask,
            progress=lambda: int((time.monotonic() - begun_s) / (60 * minutes) * LOOKS),
            is_over=lambda: time.monotonic() - begun_s > 60 * minutes,
        )
    samples = SERIES * next(sent)
    verdicts = report([EnduranceLook(look.at * minutes / LOOKS / 60, look.figures) for look in looks], "h", {FILE})
    taken_bytes = (at_rest_mb(file) - before_mb) * 1e6 / samples
    verdict = "met" if taken_bytes <= BAR_SAMPLE_BYTES else "BROKEN"
    print(f"{samples:,} samples, {taken_bytes:.1f} bytes each at rest; bar {BAR_SAMPLE_BYTES}: {verdict}")
    return [*verdicts, verdict]


def push(client: httpx.Client, number: int) -> None:
    """Send the next sample of every series."""
    at = datetime.now(UTC).isoformat()
    body = [
        {"metric_name": "pushed", "labels": {"node": f"n{row:03d}"}, "value": row + number % 17, "timestamp": at}
        for row in range(SERIES)
    ]
    client.post(f"{API}/metrics", json=body).raise_for_status()


def month(folder: Path, days: int) -> list[str]:
    """Let another process run a month of cycles; print and return what came of each bar."""
    file, day, log = load_settings(folder).database_path, folder / "day", folder / "month.log"
    day.write_text("0")
    command = [sys.executable, "-m", "benchmarks.endurance", "--month-of", str(folder), "--days", str(days)]
    addresses = itertools.cycle(address for address in READS if "{" not in address)
    with facade(folder, MONTH) as (process, client), log.open("wb") as output:
        cycles = subprocess.Popen(command, env=environment(folder), stdout=output, stderr=output)

        def ask() -> None:
            if (answer := client.get(next(addresses))).status_code not in (200, 503):
                raise SystemExit(f"{answer.url}: {answer.text}")

        try:
            looks = watch(
                {"facade": process, "cycles": psutil.Process(cycles.pid)},
                file,
                ask,
                progress=lambda: int(day.read_text() or 0),
                is_over=lambda: cycles.poll() is not None,
            )
        finally:
            cycles.kill()
            cycles.wait()
    if int(day.read_text()) < days:
        raise SystemExit(log.read_text())
    return report(looks, "day")


def run_month(folder: Path, days: int) -> None:
    """Run the cycles of so many days until now, and say in a file which day it is."""
    settings = load_settings(folder)
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=days)
    host, clock = SeededHost(15, 10, start=start), TickClock(start)
    with open_store(settings.database_path, clock) as store:
        host.introduce(store)
        for number, _ in enumerate(run(store, settings, host, clock, days), 1):
            # Put in place whole: who reads it at any moment finds a number.
            (folder / "day.new").write_text(str(number))
            (folder / "day.new").replace(folder / "day")


def watch(
    processes: dict[str, psutil.Process],
    file: Path,
    ask: Callable[[], None],
    progress: Callable[[], int],
    is_over: Callable[[], bool],
) -> list[EnduranceLook]:
    """Ask at an even pace until it is over; return a look at every step of `progress`."""
    looks: list[EnduranceLook] = []
    took_ms: list[float] = []
    step = progress()
    while not is_over():
        begun_s = time.perf_counter()
        ask()
        took_s = time.perf_counter() - begun_s
        took_ms.append(1e3 * took_s)
        if (now := progress()) != step:
            memory = {f"memory of the {name}, MB": each.memory_info().rss / 1e6 for name, each in processes.items()}
            figures = {**memory, FILE: at_rest_mb(file), LATENCY: float(np.percentile(took_ms, 99))}
            looks.append(EnduranceLook(now, figures))
            print(f"  {now:3d} " + ", ".join(f"{name} {value:.1f}" for name, value in figures.items()), file=sys.stderr)
            step, took_ms = now, []
        time.sleep(max(0.0, 1 / LISTS_PER_S - took_s))
    return looks


def report(looks: list[EnduranceLook], unit: str, growing: frozenset[str] | set[str] = frozenset()) -> list[str]:
    """Print how each figure went, those without a bar as well; return the verdicts."""
    if len(looks) < 4:
        raise SystemExit(f"{len(looks)} looks are too few for a slope")
    print(f"{'second half':28}{'first':>9}{'last':>9}{'slope/' + unit:>12}{'90 % interval':>22}{'grew':>9}  bar")
    verdicts = []
    for name in looks[0].figures:
        found, half = (
            slope([look.at for look in looks], [look.figures[name] for look in looks]),
            looks[len(looks) // 2 :],
        )
        figures = f"{half[0].figures[name]:9.1f}{half[-1].figures[name]:9.1f}{found.per_unit:12.3f}"
        interval = f"{found.low:.3f} to {found.high:.3f}"
        bar = "as much as is pushed" if name in growing else f"{100 * BAR_GROWTH:g} %  {found.verdict}"
        print(f"{name:28}{figures}{interval:>22}{100 * found.grown_ratio:7.1f} %  {bar}")
        verdicts += [] if name in growing else [found.verdict]
    return verdicts


def slope(at: list[float], values: list[float]) -> Slope:
    """Return how the second half of a figure went."""
    moments, half = np.array(at[len(at) // 2 :]), np.array(values[len(values) // 2 :])
    found = theilslopes(half, moments, alpha=0.9)
    grown = float(found.slope) * float(moments[-1] - moments[0]) / max(float(np.median(half)), 1e-9)
    return Slope(float(found.slope), float(found.low_slope), float(found.high_slope), grown)


if __name__ == "__main__":
    # As lean as in every process of a stack.
    if not LEAN.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.endurance", *sys.argv[1:]], {**os.environ, **LEAN})
    main()
