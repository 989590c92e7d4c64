"""The facade as a process: it owns the file, others attach to it, and what it acknowledged outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from settings import load_settings, utc_now
from storage import open_store
from tasks.authority import switch
from tests import PROJECT
from tests.api.conftest import API
from tests.api.test_prefect_client import free_port

START_S = 30.0


@contextmanager
def facade(folder: Path, server: str = "") -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    port = free_port()
    (folder / "foreact.toml").write_text(f"[server]\nport = {port}\n{server}\n[sampler]\ninterval_seconds = 0.2\n")
    environment = {**os.environ, "FOREACT_FOLDER": str(folder), "PYTHONPATH": str(PROJECT)}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "api.app"], env=environment, stdout=log, stderr=log, cwd=PROJECT
        )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        try:
            wait_until_ready(client, process, folder)
            yield process, client
        finally:
            process.kill()
            process.wait(10)


def wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/readyz").is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError((folder / "log").read_text())


@pytest.mark.slow
def test_a_facade_starts_without_what_only_the_loop_needs() -> None:
    needless = ("darts", "pandas", "prefect", "scipy")
    program = f"""
import sys
from pathlib import Path
from api.app import create_app
from plugins import modules_of
from settings import load_settings
create_app(load_settings(Path()))
modules_of("api.dashboard.panels")
print([name for name in {needless} if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.slow
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    acknowledged = 0
    with facade(tmp_path) as (process, client):
        for value in range(50):
            answer = client.post(f"{API}/metrics", json={"metric_name": "kept", "value": value})
            acknowledged += answer.json()["recorded"]
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with facade(tmp_path), open_store(load_settings(tmp_path).database_path) as attached:
        spans = attached.samples.spans(utc_now() - timedelta(minutes=5), utc_now())
    assert acknowledged == 50
    assert {info.series: info.count for info in spans}["kept"] == 50


@pytest.mark.slow
def test_another_process_attaches_while_the_facade_serves_and_samples(tmp_path: Path) -> None:
    with facade(tmp_path) as (_, client), open_store(load_settings(tmp_path).database_path) as attached:
        deadline = time.monotonic() + 10
        while "cpu_used_ratio" not in attached.samples.latest(utc_now() - timedelta(minutes=1)):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        switch(load_settings(tmp_path), attached, False, "test")
        assert client.get(f"{API}/status").json()["mode"]["autonomous"] is False


@pytest.mark.slow
def test_it_stops_cleanly_when_asked_to(tmp_path: Path) -> None:
    with facade(tmp_path) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) in (0, -signal.SIGTERM)
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.slow
def test_ten_megabytes_are_refused_while_they_arrive(tmp_path: Path) -> None:
    with facade(tmp_path) as (_, client):
        taken = 0

        def pieces() -> Iterator[bytes]:
            nonlocal taken
            for _ in range(100):
                taken += 1
                yield b" " * 100_000

        headers = {"Content-Type": "application/json"}
        answer = client.post(f"{API}/metrics", content=pieces(), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        for _ in range(2):
            assert client.post(f"{API}/metrics", json={"metric_name": "m", "value": 1}).status_code == 201
