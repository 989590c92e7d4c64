"""Real processes to act on; each test ends what it started."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import psutil
import pytest

from handlers import ActionContext
from storage.records import Goal, GoalType

TICK = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

SPIN_ON_TWO_THREADS = """
import hashlib, threading
block = b"x" * 1_000_000
def spin():
    while True:
        hashlib.sha256(block)
threading.Thread(target=spin, daemon=True).start()
print("ready", flush=True)
spin()
"""


def wait_until(condition: Callable[[], bool], timeout_s: float = 5.0) -> bool:
    """Wait for a condition and tell whether it came true."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., psutil.Process]]:
    """Start Python processes that run a given text, wait for their first line, and end them afterwards.

    They are no children of this process: its own children are never acted on.
    """
    started: list[psutil.Process] = []

    def begin(text: str = "import time; print('ready', flush=True); time.sleep(60)") -> psutil.Process:
        lines = tmp_path / f"lines-{len(started)}"
        shell = f'"$0" -S -c "$1" > {lines} 2>&1 & echo $!'
        done = subprocess.run(["/bin/sh", "-c", shell, sys.executable, text], capture_output=True, check=True)
        process = psutil.Process(int(done.stdout))
        started.append(process)
        assert wait_until(lambda: lines.read_text().startswith("ready"), 10), lines.read_text()
        return process

    yield begin
    for process in started:
        end(process)


def end(process: psutil.Process) -> None:
    """Kill a process with its children."""
    try:
        family = [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue


@pytest.fixture
def spinner(start: Callable[..., psutil.Process]) -> psutil.Process:
    """Return a process that keeps two threads busy."""
    return start(SPIN_ON_TWO_THREADS)


def context_for(process: psutil.Process | None = None, **changes: Any) -> ActionContext:
    """Return a context whose options allow processes of this one's name."""
    options: dict[str, Any] = {"allow_names": [process.name()]} if process else {}
    # No pause that a test begins outlives it for long.
    options |= {"resume_after_s": 10} | changes.pop("options", {})
    return ActionContext(**{"options": options, "goal_id": "goal-1", "action_id": "action-1", "tick": TICK} | changes)


@dataclass
class Request:
    """What a server got."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str


Answer = Callable[[Request], tuple[int, str]]


@dataclass
class Server:
    """A real HTTP server on loopback that answers as a test says and remembers what it was asked."""

    url: str
    answer: Answer = field(default=lambda request: (200, "{}"))
    requests: list[Request] = field(default_factory=list)
    clock: datetime | None = None
    """When it says that it is, or None for the present."""


@pytest.fixture
def server() -> Iterator[Server]:
    """Return a running HTTP server."""

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            query = dict(parse_qsl(url.query))
            request = Request(self.command, url.path, query, {k.lower(): v for k, v in self.headers.items()}, body)
            state.requests.append(request)
            status, text = state.answer(request)
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", text)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PATCH = do_PUT = reply

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(state.clock.timestamp() if state.clock else timestamp)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    state = Server(url=f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def make_goal(series: str = "cpu_used_ratio", kind: GoalType = GoalType.BOTTLENECK_PREVENTION) -> Goal:
    """Return a goal about a series."""
    return Goal(
        goal_id="goal-1",
        goal_type=kind,
        description=f"Keep {series} below its bound",
        cause=series,
        series=series,
        severity=0.5,
        probability=0.9,
        urgency=0.5,
        priority=0.5,
        created_at=TICK,
        deadline=TICK,
    )
