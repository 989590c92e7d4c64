"""The commands against a facade that runs: the same answers, and files that its owner writes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from cli import progress
from cli.app import app
from settings import load_settings, utc_now
from storage import open_store
from tests import PROJECT
from tests.api import worlds
from tests.api.test_process import facade
from tests.conftest import free_port
from tests.e2e.conftest import command, environment, wait_for

pytestmark = pytest.mark.slow


def test_what_a_running_stack_is_asked_it_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*words: str) -> str:
        answer = CliRunner().invoke(app, [*words, "-C", str(tmp_path)])
        assert answer.exit_code == 0, answer.exception or answer.output
        return answer.stdout

    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    with facade(tmp_path) as (_, client), open_store(load_settings(tmp_path).database_path) as store:
        now = utc_now()
        worlds.samples(store, now, 240)
        worlds.samples(store, now, 50, series="queue_length")
        worlds.a_turn(store, now)
        worlds.a_history(store, now)
        assert "stack            running" in told("status")
        assert "goal-1  active" in told("goals")
        assert "┄ bound" in told("forecast", "cpu_used_ratio")
        assert f"{client.base_url}/".replace("//", "/") in told("open").replace("//", "/")
        assert len(opened) == 1
        done = json.loads(told("export", str(tmp_path / "queue.parquet"), "--series", "queue*", "--json"))
        assert done["rows"] == 50
        assert json.loads(told("import", str(tmp_path / "queue.parquet"), "--json"))["known"] == 50
        assert "approved" in told("approve", "action-1", "--note", "looks right")


def test_what_asks_a_running_stack_loads_little_first() -> None:
    program = """
import sys
import cli.app, cli.show, cli.client
print([name for name in ("fastapi", "prefect", "pandas", "scipy", "uvicorn", "matplotlib") if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.timeout(240)
def test_the_demo_serves_the_comparison_and_ends_well(tmp_path: Path) -> None:
    port, told = free_port(), tmp_path / "told"
    words = command("-C", str(tmp_path), "demo", "--days", "0.1", "--port", str(port))
    with told.open("wb") as output:
        demo = subprocess.Popen(words, env=environment(), stdout=output, stderr=subprocess.STDOUT, cwd=tmp_path)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            page = wait_for("the page of the demo", lambda: client.get("/demo"), 150)
            assert all(way in page.text for way in ("late minutes", "nothing done", "threshold rule", "foreact"))
            assert 'href="/demo"' in client.get("/").text
            picture = client.get("/demo.svg")
            assert picture.text.startswith("<svg")
            assert "style-src 'unsafe-inline'" in picture.headers["content-security-policy"]
        demo.send_signal(signal.SIGINT)
        assert demo.wait(30) == 0
    finally:
        demo.kill()
        demo.wait()
    assert f"http://127.0.0.1:{port}/demo" in told.read_text()
    assert "The demo has ended." in told.read_text().splitlines()[-1]


def test_without_a_terminal_how_far_something_is_comes_in_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    with progress.progress("running 14 days of the shop") as advance:
        advance(84, 336)
    assert capsys.readouterr().err == "running 14 days of the shop: 25 % (84 of 336)\n"
