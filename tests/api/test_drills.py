"""`foreact doctor --drill` practises what can be undone, and says how it went wherever that is looked for."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from cli.checks import drills
from settings import load_settings
from storage import Store, open_store
from storage.facts import DRILLS, Drill
from tests.api.conftest import API


def test_without_a_drill_there_is_no_rate(client: TestClient) -> None:
    assert client.get(f"{API}/actions/drills").json() == {"success_ratio": None, "drills": []}
    assert "foreact_drill_success_ratio" not in client.get("/metrics").text


def test_the_newest_drill_of_each_action_counts(client: TestClient, store: Store, tick: datetime) -> None:
    for action, finding in (("renice_process", "failed"), ("renice_process", "passed"), ("prune_directory", "failed")):
        drill = Drill(action, tick.isoformat(), finding, "as it went")  # type: ignore[arg-type]
        store.facts.set(DRILLS.of(action), drill)
    told = client.get(f"{API}/actions/drills").json()
    assert told["success_ratio"] == 0.5
    assert client.get(f"{API}/executor/insights").json()["drill_success_rate"] == 0.5
    assert {each["action"]: each["finding"] for each in told["drills"]} == {
        "renice_process": "passed",
        "prune_directory": "failed",
    }
    assert "foreact_drill_success_ratio 0.5" in client.get("/metrics").text


def test_doctor_drills_what_has_a_target_and_keeps_how_it_went(tmp_path: Path) -> None:
    off = {name: {"enabled": False} for name in ("pause_process", "limit_process_affinity", "renice_process")}
    settings = load_settings(tmp_path, home=tmp_path, actions=off)
    checks = {check.what: check for check in drills(settings)}
    assert checks["drill prune_directory"].finding == "ok"
    assert checks["drills"].text == "100% of 1 actions ran and were undone"
    with open_store(settings.database_path) as store:
        (kept,) = store.facts.matching(DRILLS).values()
        assert (kept.action, kept.finding) == ("prune_directory", "passed")
        assert [line.verb for line in store.audit.latest()] == ["drilled"]
        assert store.audit.first_broken_line() is None


def test_the_command_line_practises_and_the_exit_code_says_how_it_went(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from typer.testing import CliRunner

    from cli.app import app

    (tmp_path / "foreact.toml").write_text("[actions.prune_directory]\nenabled = false\n")
    answer = CliRunner().invoke(app, ["-C", str(tmp_path), "doctor", "--drill"])
    assert answer.exit_code == (1 if "wrong" in answer.output else 0)
    assert "drill pause_process" in answer.output
    assert "prune_directory" not in answer.output
