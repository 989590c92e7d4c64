"""What every test may use: a store in memory, a fixed tick, a Prefect server; and which files go first."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, settings

from storage import Store, open_store
from tests import forget_clients, sized

# Facts are tested here, not the speed of the machine that tests them.
settings.register_profile(
    "facts", max_examples=sized(40, 100), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("facts")

PREFECT_START_S = 180.0


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let workers begin with the files that take minutes: whatever is begun last should soon be over."""
    if hasattr(config, "workerinput"):
        long = {mark: {item.path for item in items if item.get_closest_marker(mark)} for mark in ("e2e", "slow")}
        items.sort(key=lambda item: (item.path not in long["e2e"], item.path not in long["slow"]))


@pytest.fixture
def tick() -> datetime:
    return datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def store(tick: datetime) -> Iterator[Store]:
    with open_store(clock=lambda: tick) as opened:
        yield opened


@pytest.fixture(scope="session")
def prefect_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty database of a Prefect server, made once for all workers: it takes twice as long as a start."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "prefect-database"
    home.mkdir(exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "made").exists():
            command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
            subprocess.run(command, env=_prefect_environment(home), cwd=home, capture_output=True, check=True)
            (home / "made").touch()
    return home / "prefect.db"


@pytest.fixture(scope="module")
def prefect_url(tmp_path_factory: pytest.TempPathFactory, prefect_database: Path) -> Iterator[str]:
    """Run a Prefect server as `foreact up` does, for the tests of one file, and return the address of its API."""
    port, home = free_port(), tmp_path_factory.mktemp("prefect")
    shutil.copy(prefect_database, home)
    url = f"http://127.0.0.1:{port}/api"
    command = [sys.executable, "-m", "api.processes.prefect_server", "127.0.0.1", str(port)]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, env=_prefect_environment(home), stdout=log, stderr=log, cwd=home)
    try:
        _wait_until_healthy(url, home / "log")
        yield url
    finally:
        server.terminate()
        server.wait(20)
        forget_clients()


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _prefect_environment(home: Path) -> dict[str, str]:
    quiet = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_SERVER_UI_V2_ENABLED": "false", "DO_NOT_TRACK": "1"}
    return {**os.environ, **quiet, "PREFECT_HOME": str(home)}


def _wait_until_healthy(url: str, log: Path) -> None:
    deadline_s = time.monotonic() + PREFECT_START_S
    while time.monotonic() < deadline_s:
        try:
            if httpx.get(f"{url}/health").is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.3)
    raise AssertionError(log.read_text())
