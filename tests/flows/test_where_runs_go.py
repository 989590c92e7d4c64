"""Flow runs started by hand: they show up where the stack runs, and nothing calls home."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from flows.observe import at_running_server
from flows.wiring import _completed
from handlers import discover_sources
from settings import Settings, load_settings
from tests import PROJECT

TOLD = """
import os, subprocess, sys
import flows.observe
asked = "from prefect.settings import get_current_settings as now; print(now().server.analytics_enabled)"
print(subprocess.run([sys.executable, "-c", asked], env=os.environ, capture_output=True, text=True).stdout)
"""
"""Prefect starts the server of a notebook as a child process, which is what is asked here."""


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def settings_at(port: int, folder: Path) -> Settings:
    settings = load_settings(folder, server={"prefect_port": port})
    return settings.model_copy(update={"prefect_api_url": None})


def test_runs_go_to_the_server_of_the_stack_that_runs_here(port: int, tmp_path: Path) -> None:
    before = PREFECT_API_URL.value()
    with at_running_server(settings_at(port, tmp_path)):
        assert PREFECT_API_URL.value() == f"http://127.0.0.1:{port}/api"
    assert PREFECT_API_URL.value() == before


def test_where_no_stack_runs_prefect_decides(tmp_path: Path) -> None:
    before = PREFECT_API_URL.value()
    with at_running_server(settings_at(9, tmp_path)):
        assert PREFECT_API_URL.value() == before


@pytest.mark.parametrize("first", ["", "import prefect"], ids=["foreact first", "prefect first"])
def test_a_server_started_by_a_notebook_has_its_analytics_off(first: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "DO_NOT"))}
    environment = {**kept, "PYTHONPATH": str(PROJECT)}
    answer = subprocess.run(
        [sys.executable, "-c", f"{first}\n{TOLD}"], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"


def test_our_login_goes_to_our_own_server_alone_and_no_more_is_read_than_would_be_kept(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, server={"prefect_auth": True})
    reader, other = discover_sources()["prefect_runs"], discover_sources()["prometheus"]
    own = _completed(settings, reader, {})
    assert own["api_url"] == settings.prefect_url
    assert own["headers"]["Authorization"].startswith("Basic ")
    elsewhere = {"api_url": "https://elsewhere/api"}
    assert _completed(settings, reader, elsewhere) == elsewhere
    assert _completed(settings, other, {"url": "u"}) == {"url": "u", "most_lookback_s": 90 * 86_400}
    assert _completed(settings, other, {"most_lookback_s": 60})["most_lookback_s"] == 60
