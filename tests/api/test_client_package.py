"""The client package: what it sends is kept, what it reads is typed, and what is refused is told with its remedy."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import foreact
import httpx
import numpy as np
import pandas as pd
import pytest
from foreact.connection import Loop

from storage import Store
from storage.records import GoalState
from tests import PROJECT
from tests.api.conftest import TestClient
from tests.api.worlds import SERIES, a_goal, a_move, a_turn, an_action


@pytest.fixture
def loop(client: TestClient) -> Loop:
    return Loop(client)


def test_metrics_and_events_are_kept_with_labels_unit_and_time(loop: Loop, store: Store, tick: datetime) -> None:
    loop.metric("queue_length", 42, labels={"queue": "mail"}, unit="jobs", timestamp=tick)
    loop.event("deploy", {"version": "1.4.2"}, timestamp=tick)
    assert store.samples.latest(tick - timedelta(minutes=1)) == {'queue_length{queue="mail"}': (tick, 42.0)}
    (event,) = store.events.between(tick - timedelta(minutes=1), tick)
    assert (event.event_type, event.metadata) == ("deploy", {"version": "1.4.2"})


def test_a_frame_is_recorded_column_by_column_without_its_gaps(loop: Loop, store: Store, tick: datetime) -> None:
    index = pd.date_range(tick - timedelta(minutes=2), periods=3, freq="min")
    frame = pd.DataFrame({"a": [1.0, np.nan, 3.0], "b": [4.0, 5.0, 6.0]}, index=index)
    assert loop.metrics(frame) == 5
    assert {name: value for name, (_, value) in store.samples.latest(tick - timedelta(hours=1)).items()} == {
        "a": 3.0,
        "b": 6.0,
    }


def test_goals_are_typed(loop: Loop, store: Store, tick: datetime) -> None:
    store.goals.append([a_goal("goal-1", tick)], [a_move("goal-1", GoalState.ACTIVE, tick, 0.25)], "cycle-1")
    (goal,) = loop.goals()
    assert (goal.goal_id, goal.progress, goal.series) == ("goal-1", 0.25, SERIES)
    assert goal.deadline == tick + timedelta(hours=1)
    assert loop.goal("goal-1") == goal


def test_what_waits_is_answered(loop: Loop, store: Store, tick: datetime) -> None:
    store.goals.append([a_goal("goal-1", tick)], [a_move("goal-1", GoalState.ACTIVE, tick)], "cycle-1")
    store.actions.append([an_action("action-1", tick), an_action("action-2", tick)], "cycle-1")
    first, second = loop.waiting()
    assert first.params == {"pid": 4711, "nice": 10}
    loop.approve(first.action_id, by="ada", note="looks right")
    loop.reject(second.action_id, by="ada")
    assert loop.waiting() == []
    answers = {each.action.action_id: each.approval for each in store.actions.pending()}
    assert {name: each.approved for name, each in answers.items() if each} == {
        first.action_id: True,
        second.action_id: False,
    }


def test_predictions_come_as_frames(loop: Loop, store: Store, tick: datetime) -> None:
    a_turn(store, tick)
    predictions = loop.predictions(hours=1)
    frame = predictions.frame(SERIES)
    assert list(frame.columns) == ["point", "low", "high"]
    assert (frame["low"] <= frame["high"]).all()
    assert frame.index[0] > tick


def test_the_example_of_its_page_runs(
    loop: Loop, store: Store, tick: datetime, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store.goals.append([a_goal("goal-1", tick)], [a_move("goal-1", GoalState.ACTIVE, tick)], "cycle-1")
    store.actions.append([an_action("action-1", tick)], "cycle-1")
    (shown,) = re.findall(r"```python\n(.*?)```", (PROJECT / "client" / "README.md").read_text(), re.DOTALL)
    monkeypatch.setattr(foreact, "connect", lambda url: loop)
    exec(shown, {})
    assert capsys.readouterr().out.splitlines()[1] == "renice_process burner {'pid': 4711, 'nice': 10}"
    assert store.samples.latest(tick - timedelta(days=9_999))['queue_length{queue="mail"}'][1] == 42.0


def test_a_refusal_says_why_and_what_to_do(loop: Loop) -> None:
    with pytest.raises(foreact.Refused) as refusal:
        loop.goal("goal-0")
    assert refusal.value.code == "goal_unknown"
    assert "lists them" in str(refusal.value)


def test_where_nothing_answers_that_is_one_line() -> None:
    with foreact.connect("http://127.0.0.1:9") as away, pytest.raises(foreact.Refused) as refusal:
        away.status()
    assert refusal.value.code == "unreachable"
    assert "foreact up" in refusal.value.remedy


def test_what_is_no_problem_document_is_still_a_refusal() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(502, text="<html>"))
    with pytest.raises(foreact.Refused, match="502"):
        Loop(httpx.Client(transport=transport, base_url="http://x")).status()


def test_what_is_observed_is_kept_with_how_long_it_took_and_whether_it_failed(
    loop: Loop, store: Store, tick: datetime
) -> None:
    @foreact.observed(name="import", loop=loop)
    def import_rows(count: int) -> int:
        if count > 100:
            raise ValueError("too many")
        return count

    @foreact.observed(loop=loop)
    async def export() -> str:
        return "done"

    assert (import_rows(10), asyncio.run(export())) == (10, "done")
    kept = {name: value for name, (_, value) in store.samples.latest(tick - timedelta(days=1)).items()}
    assert kept['run_failed_ratio{run="import"}'] == kept['run_failed_ratio{run="export"}'] == 0
    assert 0 <= kept['run_duration_seconds{run="import"}'] < 60
    with pytest.raises(ValueError, match="too many"):
        import_rows(500)
    events = store.events.between(tick - timedelta(days=1), tick)
    told = [(each.event_type, each.metadata["error"]) for each in events]
    assert told == [("run_finished:import", ""), ("run_finished:export", ""), ("run_failed:import", "ValueError")]


def test_what_cannot_be_recorded_is_one_line_and_does_the_observed_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    away = foreact.connect("http://127.0.0.1:9")
    assert foreact.observed(name="import", loop=away)(len)("abc") == 3
    (line,) = caplog.messages
    assert "Is `foreact up` running there?" in line


ROOMS = ("settings", "storage", "handlers", "tasks", "api", "flows", "plugins")


def program(folder: Path, imports: str, *taken: str) -> subprocess.CompletedProcess[str]:
    """Run a program of somebody's own, in a folder with modules of these names."""
    for name in taken:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("MINE = True\n")
    (folder / "pipeline.py").write_text(f"{imports}\nimport settings\nprint(settings.MINE, callable(observed))\n")
    path = os.pathsep.join(map(str, (PROJECT, PROJECT / "client")))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "pipeline.py"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def test_in_a_project_with_modules_of_all_our_names_the_clients_works(tmp_path: Path) -> None:
    done = program(tmp_path, "from foreact import observed", *ROOMS)
    assert (done.stdout, done.stderr) == ("True True\n", "")


@pytest.mark.parametrize("taken", ["settings", "storage", "handlers", "tasks", "api", "plugins"])
def test_where_a_module_takes_the_place_of_ours_one_line_says_which_and_what_to_do(tmp_path: Path, taken: str) -> None:
    done = program(tmp_path, "from flows.observe import observed", taken)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert str(tmp_path / taken) in done.stderr
    assert "from foreact import observed" in done.stderr
