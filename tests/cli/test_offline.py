"""Without a stack, reading commands answer from the store alone, quickly, and say what the REST interface says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api.access import PREFIX
from api.facade import Facade
from api.in_process import client_of
from cli import offline
from cli.client import StoreClient
from settings import load_settings, utc_now
from storage import open_store
from tests import PROJECT
from tests.api import worlds

ASKED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/status", {}),
    ("/predictions", {"horizon_hours": 2.0}),
    ("/goals", {"state": "all"}),
    ("/goals", {}),
    ("/goals/goal-1", {}),
    ("/actions", {"limit": 5}),
    ("/actions/action-1", {}),
    ("/actions/action-1/estimand", {}),
    ("/objectives", {}),
    ("/patterns", {}),
    ("/executor/insights", {}),
    ("/audit", {"limit": 3, "verify": True}),
)


def test_what_is_answered_from_the_store_alone_is_what_the_rest_interface_answers(tmp_path: Path) -> None:
    settings, now = load_settings(tmp_path), utc_now()
    with open_store(settings.database_path) as store:
        worlds.samples(store, now, 240)
        worlds.a_turn(store, now)
        worlds.a_history(store, now)
        facade = Facade(settings, store, trigger=None, clock=lambda: now, started_at=now)  # type: ignore[arg-type]
        rest = client_of(facade)
        for path, params in ASKED:
            assert offline.read(facade, path, **params) == rest.get(PREFIX + path, params=params).json(), path
        assert [pattern for pattern in offline.QUERIES if not _is_asked(pattern)] == []
        assert StoreClient(facade).get("/actions/drills") == {"success_ratio": None, "drills": []}


def _is_asked(pattern: str) -> bool:
    return any(re.fullmatch(pattern, path) for path, _ in ASKED)


@pytest.mark.parametrize("command", ["status", "goals", "actions", "mode"])
def test_a_reading_command_loads_no_web_framework_and_no_frames(tmp_path: Path, command: str) -> None:
    (tmp_path / "foreact.toml").write_text("[server]\nport = 1\n")  # where nothing listens, whatever runs here
    program = f"""
import sys
from cli.app import app
app(["{command}", "-C", {str(tmp_path)!r}], standalone_mode=False)
heavy = ("fastapi", "starlette", "httpx", "pandas", "scipy", "prefect", "uvicorn", "tasks.forecast")
print([name for name in heavy if name in sys.modules])
"""
    answer = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True, capture_output=True, text=True)
    assert answer.stdout.splitlines()[-1] == "[]"
