"""What a stack costs and how fast it is there: `make bench-stack`, or `python -m benchmarks.stack --minutes 10`.

Starts `foreact up` in a folder of its own, measures the time to the first finished cycle, then processor time and
memory of the whole process group while it idles, and how long cycles took from running to completed. With
`--series 100,1000,10000` it starts one for each number of series instead, and measures what whole cycles take over a
week of them, in processor seconds of all processes together, and how that grows. Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

PROJECT = Path(__file__).parents[1]
BARS = {"up_to_first_cycle_s": 60.0, "idle_cpu_percent": 5.0, "idle_rss_mb": 900.0, "cycle_s": 4.0}
FLEET_BARS = {
    1_000: {"orchestration_s": 2.0, "first_s": 10.0, "total_s": 6.0},
    10_000: {"orchestration_s": 2.0, "total_s": 45.0, "memory_mb": 1_500.0},
}
"""By the number of series: processor seconds, and memory while cycles run.

Memory is each process's own and its part of what it shares (PSS): a run is forked from an engine that has imported all
it needs, and what both read lies in memory once. The sum of what is resident, which counts it twice, is printed too.
"""
BAR_EXPONENT = 1.1
STEPS = 2_016
LOOK_EVERY_S = 2.0


@dataclass(frozen=True)
class CycleCost:
    """Processor seconds of all processes together, above what they take idle, and seconds from running to completed."""

    cpu_s: float
    wall_s: float


@dataclass(frozen=True)
class StackUsage:
    """Processor seconds and resident bytes of one process."""

    cpu_s: float
    rss_bytes: int
    name: str


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to watch it idle")
    parser.add_argument("--interval-minutes", type=float, default=60.0, help="between cycles; 60 is the default")
    parser.add_argument("--cycles", type=int, default=5, help="cycles to ask for and to time")
    parser.add_argument("--series", type=numbers, help="instead: what cycles over so many series of a week cost")
    options = parser.parse_args()
    if options.series:
        sys.exit(not all(report_fleets(options.series, options.interval_minutes)))
    place = tempfile.TemporaryDirectory()
    with place as folder, stack(Path(folder), options.interval_minutes) as (process, port, prefect):
        first_s = wait_for_line(Path(folder) / "output.txt", "first cycle completed")
        time.sleep(20)
        met = [
            *report_idle(*watch(process, options.minutes * 60)),
            is_met("start to first finished cycle", first_s, BARS["up_to_first_cycle_s"], "s"),
            is_met("a cycle's flow run, median", cycle_seconds(port, prefect, options.cycles), BARS["cycle_s"], "s"),
        ]
    sys.exit(not all(met))


def numbers(text: str) -> list[int]:
    """Return the numbers of a list with commas."""
    return [int(part) for part in text.split(",")]


@contextlib.contextmanager
def stack(folder: Path, interval_minutes: float) -> Iterator[tuple[psutil.Process, int, int]]:
    """Run `foreact up` in a folder; give its process and its two ports."""
    port, prefect = free_port(), free_port()
    (folder / "foreact.toml").write_text(
        f"[agent]\nanalysis_interval_minutes = {interval_minutes}\n[server]\nport = {port}\nprefect_port = {prefect}\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "FOREACT_"))}
    with (folder / "output.txt").open("wb") as output:
        running = subprocess.Popen(
            [sys.executable, "-P", "-m", "cli.app", "-C", str(folder), "up"],
            env={**environment, "PYTHONPATH": str(PROJECT)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield psutil.Process(running.pid), port, prefect
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(60)


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_line(file: Path, text: str, within_s: float = 180.0) -> float:
    """Wait until a line appears in the output; return the seconds since now."""
    started_s = time.monotonic()
    while text not in file.read_text():
        if time.monotonic() - started_s > within_s:
            raise SystemExit(f"no {text!r} within {within_s:g} s:\n{file.read_text()}")
        time.sleep(0.1)
    return time.monotonic() - started_s


def usages(root: psutil.Process) -> dict[int, StackUsage]:
    """Return what each process of the group has used so far."""
    usage_by_name = {}
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.Error), process.oneshot():
            spent = process.cpu_times()
            usage_by_name[process.pid] = StackUsage(
                spent.user + spent.system, process.memory_info().rss, name_of(process)
            )
    return usage_by_name


def name_of(process: psutil.Process) -> str:
    """Return what a process runs, without its interpreter and options."""
    return " ".join(word for word in process.cmdline()[1:] if not word.startswith("-"))[:40]


def watch(
    root: psutil.Process, seconds: float
) -> tuple[dict[int, StackUsage], dict[int, StackUsage], float, list[int]]:
    """Return usage before and after, the time in between, and the group's memory at every look."""
    before, started_s, memory = usages(root), time.monotonic(), []
    after = dict(before)
    while time.monotonic() - started_s < seconds:
        time.sleep(LOOK_EVERY_S)
        now = usages(root)
        memory.append(sum(usage.rss_bytes for usage in now.values()))
        after.update(now)
    return before, after, time.monotonic() - started_s, memory


def report_idle(
    before: dict[int, StackUsage], after: dict[int, StackUsage], elapsed_s: float, memory: list[int]
) -> list[bool]:
    """Print processor and memory use, in all and by process; tell which bars are met."""
    spent = {pid: usage.cpu_s - (before[pid].cpu_s if pid in before else 0.0) for pid, usage in after.items()}
    print(f"{'process':<42}{'CPU %':>8}{'RSS MB':>9}")
    for pid, usage in sorted(after.items(), key=lambda item: -spent[item[0]]):
        print(f"{usage.name:<42}{100 * spent[pid] / elapsed_s:>8.2f}{usage.rss_bytes / 1e6:>9.0f}")
    return [
        is_met("idle: share of one core", 100 * sum(spent.values()) / elapsed_s, BARS["idle_cpu_percent"], "%"),
        is_met("idle: resident memory, median", sorted(memory)[len(memory) // 2] / 1e6, BARS["idle_rss_mb"], "MB"),
        is_met("idle: resident memory, most", max(memory) / 1e6, BARS["idle_rss_mb"], "MB"),
    ]


def report_fleets(counts: list[int], interval_minutes: float) -> list[bool]:
    """Measure a stack for each number of series, and how the cost grows with them; tell which bars are met."""
    met: list[bool] = []
    totals, stages = [], []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder, stack(Path(folder), interval_minutes) as running:
            wait_for_line(Path(folder) / "output.txt", "first cycle completed")
            empty_s, total_s = report_fleet(*running, count, met)
        totals.append(total_s)
        stages.append(total_s - empty_s)
    if len(counts) > 1:
        met.append(is_met("exponent of growth, whole cycle", exponent(counts, totals), BAR_EXPONENT, ""))
        met.append(is_met("exponent of growth, stages alone", exponent(counts, stages), BAR_EXPONENT, ""))
    return met


def report_fleet(process: psutil.Process, port: int, prefect: int, series: int, met: list[bool]) -> tuple[float, float]:
    """Print what whole cycles take, and note which bars are met.

    Returned are the processor seconds of a cycle of the empty stack, which is the start of a process, its imports, and
    Prefect, and those of a cycle over the series after their first.
    """
    idle_s = group_cpu_s(process)
    time.sleep(10)
    idle_s = (group_cpu_s(process) - idle_s) / 10
    empty = cycle_cost(process, port, prefect, idle_s)
    started_s, before_s = time.monotonic(), group_cpu_s(process)
    fill(port, series)
    samples, spent_s = series * STEPS, group_cpu_s(process) - before_s
    print(f"{samples:,} samples sent in {time.monotonic() - started_s:.0f} s: {samples / spent_s:,.0f} per CPU-s")
    with most_memory(process) as peak:
        first = cycle_cost(process, port, prefect, idle_s)
        later = sorted((cycle_cost(process, port, prefect, idle_s) for _ in range(3)), key=lambda cost: cost.cpu_s)[1]
    figures = {
        "orchestration_s": ("a cycle of the empty stack: orchestration", empty.cpu_s, "s"),
        "first_s": (f"first cycle over {series:,} series", first.cpu_s, "s"),
        "total_s": (f"a later cycle over {series:,} series", later.cpu_s, "s"),
        "memory_mb": ("processes together, most memory (PSS)", peak.pss_mb, "MB"),
    }
    bars = FLEET_BARS.get(series, {})
    for name, (what, value, unit) in figures.items():
        if name in bars:
            met.append(is_met(what, value, bars[name], unit))
        else:
            print(f"{what:<42}{value:>10,.2f} {unit}")
    print(f"processes together, most resident, what is shared counted in each: {peak.rss_mb:,.0f} MB")
    print("MB (PSS) at that moment: " + ", ".join(f"{name} {mb:,.0f}" for name, mb in peak.largest()))
    print(f"by the clock: empty {empty.wall_s:.1f} s, first {first.wall_s:.1f} s, later {later.wall_s:.1f} s")
    return empty.cpu_s, later.cpu_s


def exponent(counts: list[int], spent_s: list[float]) -> float:
    """Return the exponent with which a cost grows, by least squares; what was too little to measure is left out."""
    import numpy as np

    known = [(math.log(count), math.log(each_s)) for count, each_s in zip(counts, spent_s, strict=True) if each_s > 0]
    return float(np.polyfit(*zip(*known, strict=True), 1)[0]) if len(known) > 1 else float("nan")


@contextlib.contextmanager
def most_memory(process: psutil.Process) -> Iterator[MemoryPeak]:
    """Watch the memory of all processes of a stack meanwhile."""
    peak, is_over = MemoryPeak(), threading.Event()

    def look() -> None:
        while not is_over.wait(0.5):
            peak.take_in(process)

    watching = threading.Thread(target=look)
    watching.start()
    try:
        yield peak
    finally:
        is_over.set()
        watching.join()


class MemoryPeak:
    """The most memory that the processes of a stack had at once in MB, as RSS and as PSS, and which had how much."""

    def __init__(self) -> None:
        self.rss_mb, self.pss_mb = 0.0, 0.0
        self._mb_by_process: dict[str, float] = {}

    def take_in(self, root: psutil.Process) -> None:
        """Look once; where the system does not tell PSS, RSS stands for it."""
        rss_mb, found = 0.0, {}
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                told = process.memory_full_info()
                rss_mb += told.rss / 1e6
                found[f"{name_of(process)} ({process.pid})"] = getattr(told, "pss", told.rss) / 1e6
        self.rss_mb = max(self.rss_mb, rss_mb)
        if sum(found.values()) > self.pss_mb:
            self.pss_mb, self._mb_by_process = sum(found.values()), found

    def largest(self, most: int = 6) -> list[tuple[str, float]]:
        """Return which processes had how much PSS in MB when they had the most together, the largest first."""
        return sorted(self._mb_by_process.items(), key=lambda item: -item[1])[:most]


def fill(port: int, series: int) -> None:
    """Send a week of every series, a sample every five minutes, in lists of 5,000, as time would bring them."""
    import numpy as np

    steps, rows = np.arange(STEPS), np.arange(series)[:, None]
    random = np.random.default_rng(5)
    values = 55 + 12 * np.sin(2 * np.pi * (steps / 288 + rows / 7)) + random.normal(0, 2, (series, STEPS))
    begun_s = time.time() // 300 * 300 - 300 * STEPS
    names = [f'"metric_name":"load","labels":{{"node":"n{row:05d}"}}' for row in range(series)]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        parts = (
            f'{{{name},"value":{value:.3f},"timestamp":{begun_s + 300 * (step + 1):.0f}}}'
            for step in range(STEPS)
            for name, value in zip(names, values[:, step].tolist(), strict=True)
        )
        while batch := list(itertools.islice(parts, 5_000)):
            body = "[" + ",".join(batch) + "]"
            headers = {"Content-Type": "application/json"}
            client.post("/api/autonomous/metrics", content=body, headers=headers).raise_for_status()


def cycle_cost(process: psutil.Process, port: int, prefect: int, idle_s: float) -> CycleCost:
    """Run one cycle, and return what it took the whole stack."""
    before_s, started_s = group_cpu_s(process), time.monotonic()
    wall_s = cycle_seconds(port, prefect, 1)
    if math.isnan(wall_s):
        raise SystemExit("a cycle did not complete")
    time.sleep(2)  # the worker takes note of the end
    return CycleCost(group_cpu_s(process) - before_s - idle_s * (time.monotonic() - started_s), wall_s)


def group_cpu_s(root: psutil.Process) -> float:
    """Return what a process, those it started, and those among them that have ended have used so far."""
    spent_s = 0.0
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            spent_s += times.user + times.system + times.children_user + times.children_system
    return spent_s


def cycle_seconds(port: int, prefect: int, cycles: int) -> float:
    """Ask for cycles one after the other; return the median of running to completed, NaN where none was."""
    taken = []
    for _ in range(cycles):
        run_id = httpx.post(f"http://127.0.0.1:{port}/api/autonomous/analysis/trigger", json={}).json()["flow_run_id"]
        while (run := httpx.get(f"http://127.0.0.1:{prefect}/api/flow_runs/{run_id}").json())["state_type"] in (
            "SCHEDULED",
            "PENDING",
            "RUNNING",
        ):
            time.sleep(0.2)
        if run["state_type"] == "COMPLETED":
            taken.append(float(run["total_run_time"]))
    return sorted(taken)[len(taken) // 2] if taken else float("nan")


def is_met(what: str, value: float, bar: float, unit: str, is_least: bool = False) -> bool:
    """Print one figure beside its bar, the least or the most that it may be; tell whether it is met."""
    met = value >= bar if is_least else value <= bar
    print(f"{what:<42}{value:>10,.2f} {unit:<3} bar {bar:,g} {unit}  {'met' if met else 'MISSED'}")
    return met


if __name__ == "__main__":
    main()
