"""How fast the facade answers: `python -m benchmarks.api`.

Starts a facade in a folder of its own, fills it, and asks every read endpoint in turn over one connection: first
while nothing else runs, then while another process runs whole cycles back to back over the same store. Prints the
median and the 99th percentile of each, then the rate at which metrics are taken in, and what the facade costs idle.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import psutil

from api.processes.layout import LEAN

PROJECT = Path(__file__).parents[1]
API = "/api/autonomous"
BAR_P99_MS, BAR_RSS_MB, BAR_IDLE_CPU_PERCENT = 50.0, 220.0, 1.0
READS = (
    "/healthz",
    f"{API}/status",
    f"{API}/goals",
    f"{API}/goals/{{goal_id}}",
    f"{API}/predictions?horizon_hours=24",
    f"{API}/report",
    f"{API}/executor/statistics",
    f"{API}/executor/insights",
    f"{API}/actions",
    f"{API}/patterns",
    f"{API}/objectives",
    f"{API}/audit",
    f"{API}/cycles",
    "/metrics",
    "/readyz",
    "/live",
    "/",
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="times each endpoint is asked in each state")
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="how long to watch it idle")
    parser.add_argument("--turn", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turn:
        turn_for_ever(options.turn)
        return
    with tempfile.TemporaryDirectory() as folder, facade(Path(folder)) as (process, client):
        fill(client, options.series)
        with cycles(Path(folder), until_first=True):
            pass
        idle = ask(client, options.rounds)
        with cycles(Path(folder)) as is_running:
            busy = ask(client, options.rounds, is_running)
        report(idle, busy)
        report_writes(client)
        report_cost(process, options.idle_seconds)


@contextlib.contextmanager
def facade(folder: Path) -> Iterator[tuple[psutil.Process, httpx.Client]]:
    """Run a facade in a folder; give its process and a client."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "foreact.toml").write_text(f"[server]\nport = {port}\n")
    with (folder / "facade.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "api.app"], env=environment(folder), stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            wait_for(lambda: client.get("/readyz").is_success)
            yield psutil.Process(process.pid), client
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def cycles(folder: Path, until_first: bool = False) -> Iterator[Callable[[], bool]]:
    """Run whole cycles back to back in another process, or just the first."""
    with (folder / "cycles.log").open("wb") as log:
        command = [sys.executable, "-m", "benchmarks.api", "--turn", str(folder)]
        process = subprocess.Popen(command, env=environment(folder), stdout=log, stderr=log)
    done = folder / "turns"
    done.unlink(missing_ok=True)
    try:
        wait_for(lambda: done.exists() or process.poll() is not None, 180)
        if process.poll() is not None:
            raise SystemExit((folder / "cycles.log").read_text())
        yield lambda: process.poll() is None
        if not until_first:
            print(f"{done.read_text().count('.')} cycles ran meanwhile")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def turn_for_ever(folder: Path) -> None:
    """Run cycles until this process is ended, each at a tick of its own."""
    from flows.agent import GoalDrivenAgent
    from settings import load_settings

    agent = GoalDrivenAgent(settings=load_settings(folder))
    while True:
        agent.run_cycle()
        with (folder / "turns").open("a") as turns:
            turns.write(".")


def fill(client: httpx.Client, series: int) -> None:
    """Record ten hours of every series, a sample a minute, the first of them rising to its bound."""
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=600)
    rng = random.Random(1)
    for number in range(series):
        name = "cpu_usage" if number == 0 else f"metric_{number}"
        values = [70 + 19 * i / 600 if number == 0 else 50 + 9 * math.sin(i / 60) for i in range(600)]
        body = [
            {
                "metric_name": name,
                "value": value + rng.gauss(0, 1),
                "timestamp": (start + timedelta(minutes=i)).isoformat(),
            }
            for i, value in enumerate(values)
        ]
        client.post(f"{API}/metrics", json=body).raise_for_status()


def ask(client: httpx.Client, rounds: int, is_running: Callable[[], bool] = lambda: True) -> dict[str, list[float]]:
    """Ask every endpoint in turn; return the milliseconds that each answer took."""
    goals = client.get(f"{API}/goals?state=all").json()["goals"]
    addresses = {read: read.format(goal_id=goals[0]["goal_id"] if goals else "none") for read in READS}
    took: dict[str, list[float]] = {read: [] for read in READS}
    for round_number in range(rounds + 2):
        if not is_running():
            raise SystemExit("the cycles stopped")
        for read, address in addresses.items():
            started_s = time.perf_counter()
            answer = client.get(address)
            if round_number >= 2:
                took[read].append(1e3 * (time.perf_counter() - started_s))
            if answer.status_code >= 500:
                raise SystemExit(f"{address}: {answer.text}")
    return took


def report(idle: dict[str, list[float]], busy: dict[str, list[float]]) -> None:
    """Print the table."""
    print(f"{'milliseconds':42}{'alone p50':>10}{'p99':>8}{'in cycles p50':>15}{'p99':>8}{'p99/bar':>9}")
    for read in READS:
        cells = [float(np.percentile(times[read], q)) for times in (idle, busy) for q in (50, 99)]
        print(f"{read:42}{cells[0]:10.1f}{cells[1]:8.1f}{cells[2]:15.1f}{cells[3]:8.1f}{cells[3] / BAR_P99_MS:9.2f}")
    everything = [each for read, times in busy.items() if read != READS[0] for each in times]
    print(f"all reads while cycles run: p99 {np.percentile(everything, 99):.1f} ms (bar {BAR_P99_MS:.0f})")
    print(f"{READS[0]} asks nothing of anybody: what it takes is this machine's own share of the rest")


def report_writes(client: httpx.Client) -> None:
    """Print how fast metrics are taken in, one by one and in lists."""
    for size, count in ((1, 300), (100, 50), (5_000, 5)):
        body = [{"metric_name": f"written_{i % 50}", "value": 1.5} for i in range(size)]
        started_s = time.perf_counter()
        for _ in range(count):
            client.post(f"{API}/metrics", json=body[0] if size == 1 else body).raise_for_status()
        elapsed_s = time.perf_counter() - started_s
        each_ms = 1e3 * elapsed_s / count
        print(f"writes of {size:5}: {size * count / elapsed_s:9.0f} samples/s, {each_ms:7.1f} ms a request")


def report_cost(process: psutil.Process, seconds: float) -> None:
    """Print resident memory, and processor time while nobody asks."""
    time.sleep(2)
    before_s, started_s = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(seconds)
    percent = 100 * (sum(process.cpu_times()[:2]) - before_s) / (time.monotonic() - started_s)
    resident_mb = process.memory_info().rss / 1e6
    print(f"facade: {resident_mb:.0f} MB resident (bar {BAR_RSS_MB:.0f}), {resident_mb / BAR_RSS_MB:.2f} of it")
    print(f"facade: {percent:.2f} % of a core idle (bar {BAR_IDLE_CPU_PERCENT:.0f})")


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of the processes: as lean as in a stack, this project on the path."""
    return {**os.environ, **LEAN, "FOREACT_FOLDER": str(folder), "PYTHONPATH": str(PROJECT)}


def wait_for(is_so: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until something holds."""
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        with contextlib.suppress(httpx.HTTPError):
            if is_so():
                return
        time.sleep(0.1)
    raise SystemExit("waited in vain")


if __name__ == "__main__":
    main()
