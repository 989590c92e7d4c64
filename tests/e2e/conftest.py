"""A real stack for tests: `foreact up` in a folder and on ports of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from api.prefect_client import CsrfToken
from tests import PROJECT
from tests.conftest import free_port

INTERVAL_S = 12.0
STARTING_S = 120.0
STOPPING_S = 45.0
BUSY_TRIES, BUSY_RATIO = 20, 3
MARKS = {
    "server": "api.processes.prefect_server",
    "worker": "prefect worker start",
    "facade": "-m api.app",
    "flow run": "api.processes.flow_run",
    "engine": "-m flows.engine /",
    "guard": "api.processes.guard",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder starts real processes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300))


def environment(**extra: str) -> dict[str, str]:
    """Return the environment for a process under test: nothing of ours or Prefect's from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "FOREACT_"))}
    return {**kept, "PYTHONPATH": str(PROJECT), **extra}


def command(*arguments: str, python: str = sys.executable) -> list[str]:
    """Return the command line of `foreact`, whether or not it is installed."""
    return [python, "-P", "-m", "cli.app", *arguments]


def wait_for(what: str, look: Callable[[], Any], within_s: float, every_s: float = 0.25) -> Any:
    """Return what `look` finds as soon as it is true; fail naming what was waited for.

    `within_s` is what an idle machine takes at most: beside other stacks everything takes longer.
    """
    deadline_s = time.monotonic() + BUSY_RATIO * within_s
    while time.monotonic() < deadline_s:
        with contextlib.suppress(httpx.HTTPError, psutil.Error):
            if found := look():
                return found
        time.sleep(every_s)
    pytest.fail(f"{what} did not happen within {BUSY_RATIO * within_s:g} s")


def toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Write a configuration of plain values."""
    lines: list[str] = []
    for section, values in sections.items():
        lines.append(f"[{section}]")
        for key, value in values.items():
            shown = str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
            lines.append(f"{key} = {shown}")
    return "\n".join(lines) + "\n"


@dataclass
class Stack:
    """A running `foreact up`."""

    folder: Path
    port: int
    prefect_port: int
    process: subprocess.Popen[bytes]
    started_s: float
    first_cycle_s: float = STARTING_S

    @property
    def carries_on_within_s(self) -> float:
        """Return two intervals, and the time in which this machine, busy as it is, starts the processes anew."""
        return 2 * INTERVAL_S + max(20.0, 1.5 * self.first_cycle_s)

    @property
    def url(self) -> str:
        """Return the address of the facade."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def prefect_url(self) -> str:
        """Return the address of the Prefect API."""
        return f"http://127.0.0.1:{self.prefect_port}/api"

    @property
    def output(self) -> str:
        """Return what it printed so far."""
        return (self.folder / "output.txt").read_text()

    def api(self, path: str, body: Any = None) -> Any:
        """Ask the facade; a body makes it a POST."""
        with httpx.Client(base_url=f"{self.url}/api/autonomous", timeout=30, trust_env=False) as client:
            answer = client.get(path) if body is None else client.post(path, json=body)
            answer.raise_for_status()
            return answer.json()

    def prefect(self, path: str, body: Any = None, method: str = "") -> Any:
        """Ask the Prefect server, again while it is busy; a body makes it a POST."""
        with httpx.Client(base_url=self.prefect_url, timeout=30, trust_env=False, auth=CsrfToken()) as client:
            for _ in range(BUSY_TRIES):
                answer = client.request(method or ("GET" if body is None else "POST"), path, json=body)
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    break
                time.sleep(0.5)
            answer.raise_for_status()
            return answer.json() if answer.content else None

    def runs(self, *states: str, flow: str = "cycle") -> list[dict[str, Any]]:
        """Return the flow runs of a flow in some state types (all when none is named), newest first."""
        which = {"state": {"type": {"any_": list(states)}}} if states else {}
        body = {"flow_runs": which, "flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_DESC"}
        return list(self.prefect("/flow_runs/filter", body))

    def completed_since(self, since: str, flow: str = "cycle") -> list[dict[str, Any]]:
        """Return the flow runs that began after a moment (as Prefect writes it) and completed."""
        return [run for run in self.runs("COMPLETED", flow=flow) if run["run_count"] and run["start_time"] > since]

    def now(self) -> str:
        """Return the moment as Prefect writes it."""
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())

    def processes(self, name: str) -> list[psutil.Process]:
        """Return the processes that play a part: server, worker, facade, flow run, guard."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_ours = process.environ().get("FOREACT_FOLDER") == str(self.folder)
                if is_ours and MARKS[name] in " ".join(process.cmdline()) and process.status() != "zombie":
                    found.append(process)
        # The shell that writes a flow run's log replaces itself; until then both carry the mark.
        return [process for process in found if process.name() != "sh"]

    def kill(self, name: str) -> None:
        """`kill -9` one of the processes."""
        victims = wait_for(f"a {name} to kill", lambda: self.processes(name), 60)
        victims[0].kill()

    def members(self) -> list[psutil.Process]:
        """Return every process of this stack, the supervisor aside."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("FOREACT_FOLDER") == str(self.folder) and process.status() != "zombie":
                    found.append(process)
        return [process for process in found if process.pid != self.process.pid]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOPPING_S)


def start_stack(
    folder: Path,
    configuration: Mapping[str, Mapping[str, Any]] | None = None,
    python: str = sys.executable,
    **env: str,
) -> Stack:
    """Start `foreact up` in a folder, and return when its first cycle has finished.

    `configuration` lies on top of a short analysis interval and ports of its own.
    """
    stack = launch(folder, configuration, python, **env)
    try:
        wait_for("the first cycle", lambda: "first cycle completed" in stack.output, STARTING_S)
        stack.first_cycle_s = time.monotonic() - stack.started_s
    except BaseException:
        print(stack.output)
        stack.process.kill()
        stack.process.wait()
        raise
    return stack


def launch(
    folder: Path,
    configuration: Mapping[str, Mapping[str, Any]] | None = None,
    python: str = sys.executable,
    **env: str,
) -> Stack:
    """Start `foreact up` in a folder, and return at once."""
    folder.mkdir(parents=True, exist_ok=True)
    given = {name: dict(values) for name, values in (configuration or {}).items()}
    server = {"port": free_port(), "prefect_port": free_port(), **given.pop("server", {})}
    agent = {"analysis_interval_minutes": INTERVAL_S / 60, **given.pop("agent", {})}
    sampler = {"interval_seconds": 1, **given.pop("sampler", {})}
    (folder / "foreact.toml").write_text(toml({"server": server, "agent": agent, "sampler": sampler, **given}))
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            command("-C", str(folder), "up", python=python),
            env=environment(**env),
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    return Stack(folder, server["port"], server["prefect_port"], process, time.monotonic())


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run a stack for the tests of one file, and see that it ends as it should and leaves no process behind."""
    running = start_stack(tmp_path_factory.mktemp("stack"))
    yield running
    code = running.stop()
    left = running.members()
    for process in left:
        process.kill()
    assert code == 0, running.output
    assert not left, left
