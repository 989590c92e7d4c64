"""The proof on real input: a real load on this machine, and the loop that sees it coming, acts, measures and learns."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import Stack, start_stack, wait_for

LOAD = Path(__file__).with_name("load.py")
NAME = "foreact-load"
CYCLE_S = 24.0
"""Not shorter: on two slow cores the cycles themselves would fill the core that a confined load leaves free."""
BOUND = 0.8
HISTORY_S = 110.0
BUSY_RATIO = 0.6
RISING = ("0.2", "0.35", "0.5", "0.65", "0.8", "1.0")
STEP_S = 5
KNOWN_S = 60.0
"""So long the load lasts at its highest before it is confined: what would come without that must be known by then."""

CONFIGURATION: dict[str, dict[str, Any]] = {
    "agent": {"analysis_interval_minutes": CYCLE_S / 60, "goal_sync_interval_seconds": 2},
    "forecasting.forecaster": {"horizon_steps": 60},
    "executor": {
        "execution_interval_seconds": 2,
        "measure_horizon_seconds": 20,
        "stabilisation_seconds": 0,
        "holdout_ratio": 0,
        "margin_ratio": 0.05,
    },
    "actions.renice_process": {
        "level": "auto",
        "allow_names": [NAME],
        "cooldown_seconds": 30,
        "over_s": 1.5,
        "rate_limits": ["100/hour"],
    },
    "actions.limit_process_affinity": {
        "enabled": False,
        "level": "auto",
        "allow_names": [NAME],
        "cooldown_seconds": 30,
        "over_s": 1.5,
        "rate_limits": ["100/hour"],
    },
}
OBJECTIVE = f"""
[[objectives]]
name = "cpu"
metric = "cpu_used_ratio"
bound = {BOUND}
severity = 0.7
horizon_s = 60
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    skip_if_busy()
    folder = tmp_path_factory.mktemp("real-input")
    stack = start_stack(folder, CONFIGURATION, FOREACT_USE_DEFAULT_OBJECTIVES="false")
    file = folder / "foreact.toml"
    file.write_text(file.read_text() + OBJECTIVE)
    try:
        yield stack
    finally:
        stack.stop()


@contextmanager
def load(*shares: str) -> Iterator[psutil.Process]:
    """Run a real load in steps of five seconds, the last of which lasts."""
    with subprocess.Popen([sys.executable, str(LOAD), NAME, str(STEP_S), *shares]) as child:
        try:
            yield psutil.Process(child.pid)
        finally:
            child.kill()


def allow_limiting(stack: Stack) -> None:
    """Change the configuration as a person would; the next cycle reads it."""
    file = stack.folder / "foreact.toml"
    file.write_text(file.read_text().replace("enabled = false", "enabled = true"))


def acts(stack: Stack, action: str, pid: int) -> list[dict[str, Any]]:
    found = stack.api("/actions?limit=200")["actions"]
    return [
        each
        for each in found
        if each["action"]["name"] == action
        and each["action"]["target"].endswith(f":{pid}")
        and (each["receipt"] or {}).get("status") == "succeeded"
    ]


def outcomes(stack: Stack, action: str, pid: int) -> list[dict[str, Any]]:
    return [
        outcome
        for each in acts(stack, action, pid)
        for outcome in each["outcomes"]
        if outcome["series"] == "cpu_used_ratio"
    ]


def skip_if_busy() -> None:
    """What a load changes can only be seen where nothing else loads the machine."""
    usual = statistics.median(psutil.cpu_percent(0.5) / 100 for _ in range(10))
    if usual > BUSY_RATIO:
        pytest.skip(f"this machine is busy otherwise: {usual:.0%} of it without the load")


def bottleneck(stack: Stack) -> dict[str, Any] | None:
    goals = stack.api("/goals?state=all")["goals"]
    return next((goal for goal in goals if goal["goal_type"] == "BOTTLENECK_PREVENTION"), None)


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="confining a load to half the CPUs needs at least two of them")
def test_a_real_load_is_foreseen_acted_on_measured_and_learned_from(loaded: Stack) -> None:
    stack = loaded
    time.sleep(max(0.0, HISTORY_S - (time.monotonic() - stack.started_s)))
    skip_if_busy()

    begun_s = time.monotonic()
    with load(*RISING) as child:
        goal = wait_for("a goal", lambda: bottleneck(stack), 90)
        assert goal["series"] == "cpu_used_ratio"
        assert "forecast" in goal["because"]

        wait_for("renicing the load", lambda: acts(stack, "renice_process", child.pid), 90)
        assert child.nice() > 0
        measured = wait_for("its outcome", lambda: outcomes(stack, "renice_process", child.pid), 90)
        assert measured[0]["low"] < measured[0]["high"]

        time.sleep(max(0.0, begun_s + len(RISING) * STEP_S + KNOWN_S - time.monotonic()))
        allow_limiting(stack)
        wait_for("confining the load", lambda: acts(stack, "limit_process_affinity", child.pid), 90)
        assert len(child.cpu_affinity()) < psutil.cpu_count()
        measured = wait_for("its outcome", lambda: outcomes(stack, "limit_process_affinity", child.pid), 90)
        assert measured[0]["estimate"] < 0
        assert measured[0]["low"] < measured[0]["high"]

    effects = wait_for("the belief", lambda: _both_learned(stack), 90)
    assert effects["limit_process_affinity"] > effects["renice_process"]

    with load("0.6", "0.8", "1.0") as child:
        wait_for("the loop's own choice", lambda: acts(stack, "limit_process_affinity", child.pid), 180)

    _nothing_was_done_twice(stack)
    _prefect_shows_it(stack)


def _both_learned(stack: Stack) -> dict[str, float] | None:
    """Return each action's mean effect on bottlenecks, positive toward the goal, as soon as both are known."""
    told = stack.api("/executor/insights")["effects"]
    known = {each["action"]: each["effect_sd_units"] for each in told if each["goal_type"] == "BOTTLENECK_PREVENTION"}
    return known if {"renice_process", "limit_process_affinity"} <= set(known) else None


def _nothing_was_done_twice(stack: Stack) -> None:
    lines = stack.api("/audit?limit=1000")["entries"]
    acted = [line["subject"] for line in lines if line["verb"] == "acted"]
    assert len(acted) == len(set(acted))


def _prefect_shows_it(stack: Stack) -> None:
    task_runs = stack.prefect("/task_runs/filter", {"task_runs": {"name": {"like_": "limit_process_affinity"}}})
    assert any(run["state"]["type"] == "COMPLETED" for run in task_runs)
