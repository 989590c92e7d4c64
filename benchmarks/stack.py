"""What a stack costs and how fast it is there: `make bench-stack`, or `python -m benchmarks.stack --minutes 10`.

Starts `foreact up` in a folder of its own, measures the time to the first finished cycle, then processor time and
memory of the whole process group while it idles, and how long cycles took from running to completed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

PROJECT = Path(__file__).parents[1]
BARS = {"up_to_first_cycle_s": 60.0, "idle_cpu_percent": 5.0, "idle_rss_mb": 900.0, "cycle_s": 4.0}
LOOK_EVERY_S = 2.0


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
    options = parser.parse_args()
    place = tempfile.TemporaryDirectory()
    with place as folder, stack(Path(folder), options.interval_minutes) as (process, port, prefect):
        first_s = wait_for_line(Path(folder) / "output.txt", "first cycle completed")
        time.sleep(20)
        report_idle(*watch(process, options.minutes * 60))
        report("start to first finished cycle", first_s, BARS["up_to_first_cycle_s"], "s")
        report("a cycle's flow run, median", *cycle_seconds(port, prefect, options.cycles), "s")


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
            words = [word for word in process.cmdline()[1:] if not word.startswith("-")]
            usage_by_name[process.pid] = StackUsage(
                spent.user + spent.system, process.memory_info().rss, " ".join(words)[:40]
            )
    return usage_by_name


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
) -> None:
    """Print processor and memory use, in all and by process."""
    spent = {pid: usage.cpu_s - (before[pid].cpu_s if pid in before else 0.0) for pid, usage in after.items()}
    print(f"{'process':<42}{'CPU %':>8}{'RSS MB':>9}")
    for pid, usage in sorted(after.items(), key=lambda item: -spent[item[0]]):
        print(f"{usage.name:<42}{100 * spent[pid] / elapsed_s:>8.2f}{usage.rss_bytes / 1e6:>9.0f}")
    report("idle: share of one core", 100 * sum(spent.values()) / elapsed_s, BARS["idle_cpu_percent"], "%")
    report("idle: resident memory, median", sorted(memory)[len(memory) // 2] / 1e6, BARS["idle_rss_mb"], "MB")
    report("idle: resident memory, most", max(memory) / 1e6, BARS["idle_rss_mb"], "MB")


def cycle_seconds(port: int, prefect: int, cycles: int) -> tuple[float, float]:
    """Ask for cycles one after the other; return the median of running to completed, and the bar."""
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
    return (sorted(taken)[len(taken) // 2] if taken else float("nan")), BARS["cycle_s"]


def report(what: str, value: float, bar: float, unit: str) -> None:
    """Print one figure beside its bar."""
    print(f"{what:<42}{value:>8.2f} {unit:<3} bar {bar:g} {unit}  {'met' if value <= bar else 'MISSED'}")


if __name__ == "__main__":
    main()
