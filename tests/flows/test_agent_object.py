"""The loop as an object: it takes what REST takes, runs in the background, and lets a script end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.agent import GoalDrivenAgent
from settings import load_settings, utc_now
from storage import ForeactError, open_store
from tasks.objectives.in_force import objectives_in_force
from tests import PROJECT

SCRIPT = """
from flows.agent import GoalDrivenAgent

agent = GoalDrivenAgent(agent_config={"autonomous_mode": True})
agent.register_action_handler("optimize_database", lambda params, goal_id: {"success": True})
for _ in range(40):
    agent.record_metric("cpu_usage", 75.5)
agent.start()
print("started", flush=True)
"""


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[GoalDrivenAgent]:
    made = GoalDrivenAgent(settings=load_settings(tmp_path), store=open_store())
    yield made
    made.close()


def test_the_metrics_of_the_documented_examples_set_goals_here_and_nowhere_else(agent: GoalDrivenAgent) -> None:
    now = utc_now()
    for minute in range(60):
        agent.record_metric("cpu_usage", 97.0, timestamp=now - timedelta(minutes=minute))
    overview = agent.run_cycle(now)
    assert "cpu-usage-below-90" in {goal["objective"] for goal in overview["goals"]}
    plain = load_settings(agent.settings.folder)
    assert not any(each.matches("cpu_usage") for each in objectives_in_force(plain, agent.store))


@pytest.mark.parametrize("value", [75.5, 75, np.float32(75.5), np.int64(75)])
def test_numbers_of_any_library_are_recorded(agent: GoalDrivenAgent, value: Any) -> None:
    agent.record_metric("cpu_usage", value, labels={"host": "a"})
    assert agent.store.samples.latest(utc_now() - timedelta(minutes=1)).keys() == {'cpu_usage{host="a"}'}


def test_a_time_without_a_zone_is_taken_for_utc(agent: GoalDrivenAgent) -> None:
    now = utc_now().replace(microsecond=0)
    agent.record_metric("cpu_usage", 1.0, timestamp=now.replace(tzinfo=None))
    (span,) = agent.store.samples.spans(now - timedelta(minutes=1), now)
    assert span.last == now


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "75.5", None])
def test_what_is_no_finite_number_is_refused(agent: GoalDrivenAgent, value: Any) -> None:
    with pytest.raises(ForeactError) as refusal:
        agent.record_metric("cpu_usage", value)
    assert refusal.value.code == "item_invalid"
    assert agent.store.samples.known() == []


@pytest.mark.parametrize("year", [1900, 2200])
def test_moments_far_away_are_refused(agent: GoalDrivenAgent, year: int) -> None:
    moment = datetime(year, 1, 1, tzinfo=UTC)
    for record in (lambda: agent.record_metric("a", 1.0, moment), lambda: agent.record_event("b", timestamp=moment)):
        with pytest.raises(ForeactError) as refusal:
            record()
        assert refusal.value.code == "timestamp_out_of_range"


def test_metadata_that_is_no_json_is_refused(agent: GoalDrivenAgent) -> None:
    with pytest.raises(ForeactError) as refusal:
        agent.record_event("deploy", {"share": float("nan")})
    assert refusal.value.code == "item_invalid"


def test_it_turns_in_the_background_until_it_is_stopped(agent: GoalDrivenAgent) -> None:
    agent.start()
    deadline_s = time.monotonic() + 60
    while not agent.store.cycles.latest(1):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert agent.get_agent_status()["running"] is True
    agent.stop()
    assert agent.get_agent_status()["running"] is False


@pytest.mark.slow
def test_a_script_that_ends_while_a_turn_is_under_way_ends_well(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env={"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stdout) == (0, "started\n"), done.stderr


def test_it_is_asked_what_its_own_handlers_would_change(agent: GoalDrivenAgent) -> None:
    agent.register_action_handler("cool", lambda params, context: {}, expected_change={"cpu_usage": -20.0})
    now = utc_now()
    for minute in range(120):
        agent.record_metric("cpu_usage", 80.0 + minute % 5, timestamp=now - timedelta(minutes=minute))
    told = agent.what_if("cool")
    (fan,) = told["metrics"]
    assert (fan["series"], fan["change"]) == ("cpu_usage", pytest.approx(-20, abs=5))
