"""How fast the facade answers: `python -m benchmarks.api`.

Starts a facade in a folder of its own, fills it, and asks every read endpoint in turn over one connection: first
while nothing else runs, then while another process runs whole cycles back to back over the same store, and then by
twenty readers at once, each over a connection of its own with a short pause after each answer; of those who ask the
same within a moment one has it made, as with dashboards. Prints the median and the 99th percentile of each, then the
rate at which metrics are taken in, and what the facade costs idle. Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import psutil

from api.processes.layout import LEAN
from benchmarks.stack import is_met

PROJECT = Path(__file__).parents[1]
API = "/api/autonomous"
BAR_P99_MS, BAR_RSS_MB, BAR_IDLE_CPU_PERCENT = 50.0, 220.0, 1.0
BAR_LISTS_SHARE_PERCENT, BAR_LISTS_PER_CPU_S = 33.0, 150_000.0
BAR_SINGLES_PER_CPU_S, BAR_SINGLES_P99_MS = 1_000.0, 20.0
LISTS, SINGLES = "lists of 5,000", "one by one"
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
    parser.add_argument("--readers", type=int, default=20, help="who read at once while cycles run")
    parser.add_argument("--pause-ms", type=float, default=100.0, help="of a reader after each answer")
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="how long to watch it idle")
    parser.add_argument("--writes-only", action="store_true")
    parser.add_argument("--turn", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--echo", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.echo:
        serve_echo(options.echo)
        return
    if options.writes_only:
        with tempfile.TemporaryDirectory() as folder, facade(Path(folder)) as (process, client):
            sys.exit(not all(report_writes(process, client)))
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
            many_ms = ask_at_once(client, options.readers, options.rounds, options.pause_ms, is_running)
        met = [
            *report(idle, busy),
            report_readers(many_ms, options.readers, options.pause_ms),
            *report_writes(process, client),
            *report_cost(process, options.idle_seconds),
        ]
    sys.exit(not all(met))


@contextlib.contextmanager
def facade(folder: Path, configured: str = "") -> Iterator[tuple[psutil.Process, httpx.Client]]:
    """Run a facade in a folder with what else is configured; give its process and a client."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "foreact.toml").write_text(f"{configured}\n[server]\nport = {port}\n")
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
    """Ask every endpoint in turn; return the milliseconds that each answer took.

    Each question is one of its own, so that its answer is made for it: the facade would share it with the next.
    """
    addresses = addresses_of(client)
    took: dict[str, list[float]] = {read: [] for read in READS}
    for round_number in range(rounds + 2):
        if not is_running():
            raise SystemExit("the cycles stopped")
        for read, address in addresses.items():
            started_s = time.perf_counter()
            answer = client.get(address, headers={"If-None-Match": f'"{round_number}"'})
            if round_number >= 2:
                took[read].append(1e3 * (time.perf_counter() - started_s))
            if answer.status_code >= 500:
                raise SystemExit(f"{address}: {answer.text}")
    return took


def addresses_of(client: httpx.Client) -> dict[str, str]:
    """Return the address of each read endpoint, of a goal that is there."""
    goals = client.get(f"{API}/goals?state=all").json()["goals"]
    return {read: read.format(goal_id=goals[0]["goal_id"] if goals else "none") for read in READS}


def ask_at_once(
    client: httpx.Client, readers: int, rounds: int, pause_ms: float, is_running: Callable[[], bool]
) -> list[float]:
    """Let several readers ask every endpoint in turn, each beginning with another; return the milliseconds of all."""
    addresses, port = list(addresses_of(client).values()), int(client.base_url.port or 80)

    def read(number: int) -> list[float]:
        took_ms, connection = [], http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        order = itertools.islice(itertools.cycle(addresses), number, number + rounds * len(addresses) // readers)
        for address in order:
            started_s = time.perf_counter()
            connection.request("GET", address)
            answer = connection.getresponse()
            body = answer.read()
            took_ms.append(1e3 * (time.perf_counter() - started_s))
            if answer.status >= 500:
                raise SystemExit(f"{address}: {body!r}")
            time.sleep(pause_ms / 1e3)
        connection.close()
        return took_ms

    with ThreadPoolExecutor(readers) as pool:
        took = [each_ms for some in pool.map(read, range(readers)) for each_ms in some]
    if not is_running():
        raise SystemExit("the cycles stopped")
    return took


def report_readers(took_ms: list[float], readers: int, pause_ms: float) -> bool:
    """Print how long readers waited who ask at once; tell whether the bar is met."""
    p50_ms, p99_ms = np.percentile(took_ms, (50, 99))
    print(f"{readers} readers at once in cycles, {pause_ms:g} ms apart: {len(took_ms):,} reads, p50 {p50_ms:.1f} ms")
    return is_met(f"{readers} readers at once, p99", float(p99_ms), BAR_P99_MS, "ms")


def report(idle: dict[str, list[float]], busy: dict[str, list[float]]) -> list[bool]:
    """Print the table; tell whether the bar is met."""
    print(f"{'milliseconds':42}{'alone p50':>10}{'p99':>8}{'in cycles p50':>15}{'p99':>8}{'p99/bar':>9}")
    for read in READS:
        cells = [float(np.percentile(times[read], q)) for times in (idle, busy) for q in (50, 99)]
        print(f"{read:42}{cells[0]:10.1f}{cells[1]:8.1f}{cells[2]:15.1f}{cells[3]:8.1f}{cells[3] / BAR_P99_MS:9.2f}")
    everything = [each for read, times in busy.items() if read != READS[0] for each in times]
    print(f"{READS[0]} asks nothing of anybody: what it takes is this machine's own share of the rest")
    return [is_met("all reads while cycles run, p99", float(np.percentile(everything, 99)), BAR_P99_MS, "ms")]


def report_writes(process: psutil.Process, client: httpx.Client) -> list[bool]:
    """Print how fast metrics are taken in, each beside a server that reads the same JSON and writes it back.

    Returned is which bars are met.
    """
    port = int(client.base_url.port or 80)
    now = datetime.now(UTC).replace(microsecond=0)
    batch = [
        {
            "metric_name": f"written_{i % 50}",
            "value": 1.5 + i,
            "timestamp": (now - timedelta(seconds=i // 50)).isoformat(),
            "labels": {"host": f"h{i % 10}"},
        }
        for i in range(5_000)
    ]
    kinds = ((LISTS, batch, 1, 30), ("lists of 100", batch[:100], 4, 100), (SINGLES, batch[0], 16, 150))
    rates, shares = {}, {}
    ours_head = f"{'writes':18}{'samples/s':>11}{'per CPU-s':>11}{'p50 ms':>8}{'p99 ms':>8}"
    print(f"{ours_head}{'echo per CPU-s':>16}{'p99 ms':>9}{'share':>8}")
    with echo() as (echoing, echo_port):
        for name, body, clients, each in kinds:
            size = len(body) if isinstance(body, list) else 1
            for warm in (echo_port, port):
                sent(warm, body, 1, 5)
            limit = sent_rates(echoing, echo_port, body, clients, each, size)
            ours = sent_rates(process, port, body, clients, each, size)
            share = 100 * ours.per_cpu_s / limit.per_cpu_s
            rates[name], shares[name] = ours, share
            figures = f"{ours.per_s:11,.0f}{ours.per_cpu_s:11,.0f}{ours.p50_ms:8.1f}{ours.p99_ms:8.1f}"
            print(f"{name:18}{figures}{limit.per_cpu_s:16,.0f}{limit.p99_ms:9.1f}{share:6.0f} %")
    return [
        is_met(f"{LISTS}: share of a bare echo", shares[LISTS], BAR_LISTS_SHARE_PERCENT, "%", is_least=True),
        is_met(f"{LISTS}: samples a CPU-s", rates[LISTS].per_cpu_s, BAR_LISTS_PER_CPU_S, "", is_least=True),
        is_met(f"{SINGLES}: samples a CPU-s", rates[SINGLES].per_cpu_s, BAR_SINGLES_PER_CPU_S, "", is_least=True),
        is_met(f"{SINGLES}: p99", rates[SINGLES].p99_ms, BAR_SINGLES_P99_MS, "ms"),
    ]


@dataclass(frozen=True)
class WriteRates:
    """Samples a second by the clock and by the server's processor, and how long a request waited."""

    per_s: float
    per_cpu_s: float
    p50_ms: float
    p99_ms: float


def sent_rates(process: psutil.Process, port: int, body: object, clients: int, each: int, size: int) -> WriteRates:
    """Send a body from several clients at once, so many times each."""
    before_s, started_s = sum(process.cpu_times()[:2]), time.perf_counter()
    took_ms = sent(port, body, clients, each)
    elapsed_s, spent_s = time.perf_counter() - started_s, sum(process.cpu_times()[:2]) - before_s
    samples = size * clients * each
    return WriteRates(samples / elapsed_s, samples / spent_s, *np.percentile(took_ms, (50, 99)))


def sent(port: int, body: object, clients: int, each: int) -> list[float]:
    """Send a body over kept connections, bare sockets so that the clients cost little; return milliseconds."""
    content = json.dumps(body).encode()
    head = f"POST {API}/metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content

    def ask_often(_: int) -> list[float]:
        took_ms = []
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answers = connection.makefile("rb")
            for _ in range(each):
                started_s = time.perf_counter()
                connection.sendall(request)
                status, length = answers.readline(), 0
                while (line := answers.readline().strip()) != b"":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                answers.read(length)
                took_ms.append(1e3 * (time.perf_counter() - started_s))
                if b" 201 " not in status:
                    raise SystemExit(f"refused: {status!r}")
        return took_ms

    with ThreadPoolExecutor(clients) as pool:
        return [each_ms for some in pool.map(ask_often, range(clients)) for each_ms in some]


@contextlib.contextmanager
def echo() -> Iterator[tuple[psutil.Process, int]]:
    """Run a server that does nothing but read JSON and write it back: what any server here is held against."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "benchmarks.api", "--echo", str(port)]
    process = subprocess.Popen(command, env=environment(Path()))
    try:
        wait_for(lambda: httpx.get(f"http://127.0.0.1:{port}/").status_code > 0)
        yield psutil.Process(process.pid), port
    finally:
        process.terminate()
        process.wait(20)


def serve_echo(port: int) -> None:
    """Serve the echo."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def back(request: Request) -> JSONResponse:
        return JSONResponse(await request.json(), 201)

    app = Starlette(routes=[Route(f"{API}/metrics", back, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def report_cost(process: psutil.Process, seconds: float) -> list[bool]:
    """Print resident memory, and processor time while nobody asks; tell which bars are met."""
    time.sleep(2)
    before_s, started_s = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(seconds)
    percent = 100 * (sum(process.cpu_times()[:2]) - before_s) / (time.monotonic() - started_s)
    resident_mb = process.memory_info().rss / 1e6
    return [
        is_met("facade: resident memory", resident_mb, BAR_RSS_MB, "MB"),
        is_met("facade: share of one core, idle", percent, BAR_IDLE_CPU_PERCENT, "%"),
    ]


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
