"""The interface this project was asked for, snippet by snippet: only the import line differs, and every loop turns."""

from __future__ import annotations

import ast
import contextlib
import inspect
import json
import math
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from flows.agent import GoalDrivenAgent
from flows.observe import OrchestratorWithAutonomousAgent
from settings import load_settings
from storage import ForeactError, Store, open_store
from tests import PROJECT
from tests.api import worlds
from tests.api.conftest import BASE, RecordingTrigger

FORECASTING_CONFIG: dict[str, Any] = {
    "auto_analysis_enabled": True,
    "analysis_interval_minutes": 60,
    "forecaster": {"default_method": "ensemble"},
    "pattern_recognizer": {"min_occurrences": 3, "time_window_hours": 168},
    "goal_setter": {"auto_goal_setting": True, "max_active_goals": 10},
}
EXECUTOR_CONFIG: dict[str, Any] = {
    "execution_interval_seconds": 60,
    "max_concurrent_goals": 3,
    "enable_learning": True,
}
AGENT_CONFIG: dict[str, Any] = {
    "autonomous_mode": True,
    "goal_sync_interval_seconds": 30,
    "analysis_interval_minutes": 60,
}


class Day:
    """A moment that is moved on by hand."""

    now = datetime(2026, 3, 2, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoalDrivenAgent]:
    """An agent that watched a CPU climb for fifteen hours, with an action that fails first and then works."""
    day, calls = Day(), []
    settings = load_settings(
        tmp_path_factory.mktemp("home"),
        forecasting=FORECASTING_CONFIG,
        executor=EXECUTOR_CONFIG | {"holdout_ratio": 0, "measure_horizon_seconds": 3_600},
        agent=AGENT_CONFIG,
    )
    made = GoalDrivenAgent(settings=settings, store=open_store(clock=day), clock=day)
    made.actions.clear()

    def optimize_database(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        calls.append(goal_id)
        works = len(calls) > 1
        return {"success": works, "impact": {"cpu_usage": -0.2 if works else 0.0}}

    made.register_action_handler("optimize_database", optimize_database, metrics=("cpu_usage",), cooldown_s=1_800)
    for minute in range(1, 901):
        day.now += timedelta(minutes=1)
        relief = 20 * (len(calls) > 1)
        made.record_metric("cpu_usage", 45 + minute / 14 + 2 * math.sin(minute / 7) - relief)
        if minute >= 60 and minute % 30 == 0:
            made.record_event("api_request", metadata={"endpoint": "/users"})
            made.run_cycle()
    yield made
    made.close()


def test_an_agent_is_made_of_the_three_configurations_as_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = GoalDrivenAgent(
        forecasting_config=FORECASTING_CONFIG,
        executor_config=EXECUTOR_CONFIG,
        agent_config=AGENT_CONFIG,
    )
    made.start()
    made.record_metric("cpu_usage", 75.5)
    made.record_metric("memory_usage", 60.2)
    made.record_metric("latency", 150.0)
    made.record_event("api_request", metadata={"endpoint": "/users"})
    made.record_event("database_query", metadata={"duration_ms": 45})
    assert made.get_agent_status()["running"] is True
    made.close()


def test_the_overview_tells_each_goal_with_its_progress_and_priority(
    agent: GoalDrivenAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    overview = agent.get_goal_overview()
    print(f"Active Goals: {overview['total_active_goals']}")
    for goal in overview["goals"]:
        print(f"Goal: {goal['description']}")
        print(f"Progress: {goal['progress']:.1%}")
        print(f"Priority: {goal['priority']}")
    told = capsys.readouterr().out
    assert told.count("Goal: ") == overview["total_active_goals"] > 0
    assert told.count("%\nPriority: ") == overview["total_active_goals"]


def test_insights_name_success_rates_and_common_failures(
    agent: GoalDrivenAgent, capsys: pytest.CaptureFixture[str]
) -> None:
    insights = agent.executor.get_learning_insights()
    print("Action Success Rates:")
    for action, data in insights["action_success_rates"].items():
        print(f"  {action}: {data['rate']:.1%}")
    print("\nCommon Failures:")
    for failure in insights["common_failures"]:
        print(f"  {failure['action']}: {failure['count']} times")
    told = capsys.readouterr().out
    assert "  optimize_database: " in told.split("Common Failures:")[0]
    assert "  optimize_database: 1 times" in told.split("Common Failures:")[1]


def test_status_counts_goals_created_and_achieved(agent: GoalDrivenAgent) -> None:
    status = agent.get_agent_status()
    assert f"\nActive Goals: {status['active_goals']}"
    assert status["statistics"]["goals_created"] > 0
    assert status["statistics"]["goals_achieved"] >= 0


def test_the_report_tells_agent_goals_prediction_and_success(agent: GoalDrivenAgent) -> None:
    report = agent.get_comprehensive_report()
    assert isinstance(report["agent_status"]["running"], bool)
    assert report["agent_status"]["uptime_seconds"] > 0
    assert report["goals"]["total_active_goals"] > 0
    assert report["forecasting_report"]["prediction"]["predicted_state"] in {"healthy", "degraded", "critical"}
    assert f"{report['executor_state']['statistics']['success_rate']:.1%}".endswith("%")


async def test_an_orchestrator_takes_five_configurations_and_says_how_to_make_an_agent_known(
    agent: GoalDrivenAgent,
) -> None:
    orchestrator = OrchestratorWithAutonomousAgent(
        performance_monitor_config={},
        config_manager_config={},
        forecasting_config=FORECASTING_CONFIG,
        executor_config=EXECUTOR_CONFIG,
        agent_config=AGENT_CONFIG,
        agent=agent,
    )
    with pytest.raises(ForeactError) as refusal:
        await orchestrator.execute_with_autonomous_behavior(
            agent_name="planning_agent",
            task_description="Plan project timeline",
            context={"project_id": "123"},
        )
    assert refusal.value.code == "agent_unknown"
    assert "register_agent('planning_agent', run)" in refusal.value.remedy


INTERFACE = PROJECT.parent / "shared" / "INTERFACE.md"
"""What was asked for in its own words, where it lies beside the checkout."""
RENAMED = {"core.goal_driven_agent": "flows.agent", "core.orchestrator_with_autonomous_agent": "flows.observe"}
CONFIGURATIONS = {
    "forecasting_config": FORECASTING_CONFIG,
    "forecast_config": FORECASTING_CONFIG,
    "executor_config": EXECUTOR_CONFIG,
    "exec_config": EXECUTOR_CONFIG,
    "agent_config": AGENT_CONFIG,
    "perf_config": {},
    "config_mgr_config": {},
}
asked_for = pytest.mark.skipif(not INTERFACE.exists(), reason="INTERFACE.md does not lie beside this checkout")


def snippets(language: str) -> list[str]:
    text = INTERFACE.read_text() if INTERFACE.exists() else ""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


class LookedEnough(Exception):
    """Ends a loop that would go on for ever."""


async def run_noting_lines(code: str, names: dict[str, Any], seen: set[int]) -> None:
    """Run a snippet, which may await, and note the lines that were reached."""

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename != "snippet":
            return None
        seen.add(frame.f_lineno)
        return trace

    whole = compile(code, "snippet", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        done = eval(whole, names)
        if inspect.isawaitable(done):
            await done
        if "optimize_database" in names:
            names["optimize_database"]({}, "goal-1")
    finally:
        sys.settrace(before)


@asked_for
@pytest.mark.parametrize("number", range(len(snippets("python"))))
async def test_every_line_of_every_snippet_runs_with_only_its_imports_changed(
    agent: GoalDrivenAgent, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = snippets("python")[number]
    for name, ours in RENAMED.items():
        code = code.replace(f"from {name} import", f"from {ours} import")
    names = {**CONFIGURATIONS, "agent": agent}
    monkeypatch.chdir(tmp_path)
    if "while True" in code:
        monkeypatch.setattr(time, "sleep", lambda seconds: (_ for _ in ()).throw(LookedEnough))
    seen: set[int] = set()
    expected = LookedEnough if "while True" in code else ForeactError if "execute_with" in code else None
    with pytest.raises(expected) if expected else contextlib.nullcontext():
        await run_noting_lines(code, names, seen)
    made = names.get("orchestrator")
    for each in (names["agent"], made.agent if isinstance(made, OrchestratorWithAutonomousAgent) else agent):
        if each is not agent:
            each.close()
    statements = [each for each in ast.walk(ast.parse(code)) if isinstance(each, ast.stmt)]
    documentation = {each.lineno for each in statements if isinstance(each, ast.Expr) and _is_text(each.value)}
    assert {each.lineno for each in statements} - documentation <= seen


def _is_text(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


@asked_for
def test_every_address_is_served_and_every_script_is_there(store: Store, tmp_path: Path, tick: datetime) -> None:
    worlds.a_turn(store, tick)
    worlds.a_history(store, tick)
    app = create_app(
        load_settings(tmp_path, home=tmp_path, sampler={"enabled": False}),
        store=store,
        trigger=RecordingTrigger(),
        clock=lambda: tick,
    )
    asked = 0
    with TestClient(app, base_url=BASE) as client:
        for block in snippets("bash"):
            if found := re.match(r"(GET|POST) (\S+)(?:\nBody: (.*))?", block, re.DOTALL):
                path, body = found[2].format(goal_id="goal-1"), (found[3] or "null").replace("true/false", "true")
                answer = client.request(found[1], path, json=json.loads(body))
                assert answer.is_success, (block, answer.text)
                asked += 1
            for script in re.findall(r"[\w/]+\.py", block):
                assert (PROJECT / script).is_file(), script
    assert asked == 11
