"""The canary: a real server, real deployments, a run that nobody asked for, and the notebook beside them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import pairwise
from typing import Any
from uuid import uuid4

import httpx
import pytest

from api.prefect_client import SKIPPED
from api.processes.automations import QUIET, REPLAY
from tests import IS_THOROUGH
from tests.e2e.conftest import INTERVAL_S, PROJECT, Stack, command, environment, wait_for

NOTEBOOK = PROJECT / "examples" / "notebook.ipynb"
CANCELLED = {"flow_runs": {"state": {"type": {"any_": ["CANCELLED", "CANCELLING"]}}}}
RUN_CELLS = """
import ast, asyncio, inspect, json, sys
cells = [cell for cell in json.load(open(sys.argv[1]))["cells"] if cell["cell_type"] == "code"]
names = {}
async def run():
    for cell in cells:
        code = compile("".join(cell["source"]), cell["id"], "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        done = eval(code, names)
        if inspect.isawaitable(done):
            await done
asyncio.run(run())
print(names["state"].type.value, names["state"].message)
"""


def test_a_scheduled_run_appears_and_finishes(stack: Stack) -> None:
    def scheduled() -> list[dict[str, object]]:
        return [run for run in stack.runs("COMPLETED") if run["auto_scheduled"] and run["run_count"]]

    run = wait_for("a scheduled run that completed", scheduled, 4 * INTERVAL_S)[0]
    assert run["work_pool_name"] == "foreact"
    assert run["run_count"] == 1


def test_a_run_tells_what_it_came_to_and_its_graph_shows_the_loop(stack: Stack) -> None:
    run = wait_for("a named run", lambda: [each for each in stack.runs("COMPLETED") if ":" in each["name"]], 60)[0]
    assert re.fullmatch(r"cycle \d\d:\d\d( · .+)?", run["name"])
    assert re.match(r"Watching .* Forecast .* (Nothing was due|action)", run["state"]["message"])
    by_run = {"logs": {"flow_run_id": {"any_": [run["id"]]}}, "limit": 200}

    def sentences() -> set[str]:
        return {each["message"].partition(" ")[0] for each in stack.prefect("/logs/filter", by_run)}

    # Prefect sends logs in batches, seconds after they were written.
    wait_for("the sentences of the stages in its logs", lambda: {"Watching", "Forecast"} <= sentences(), 30)
    newest = newest_artifacts(stack)
    assert {"cycle", "goals"} <= newest.keys()
    assert f"]({stack.url}/)" in newest["cycle"]["data"]
    assert newest["forecast"]["type"] == "image"
    picture = httpx.get(newest["forecast"]["data"], trust_env=False)
    assert picture.headers["content-type"].startswith("image/svg+xml")
    assert '<svg class="chart"' in picture.text

    loop = ["monitor", "patterns", "measure", "learn", "forecast", "goals", "plan", "execute"]

    def ended() -> list[dict[str, Any]]:
        # The server writes that there are tasks, and what became of them, a second after it heard of it.
        tasks: list[dict[str, Any]] = stack.prefect("/task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
        are_there = {each["name"].partition(" ")[0] for each in tasks} >= {*loop}
        return tasks if are_there and {each["state_type"] for each in tasks} == {"COMPLETED"} else []

    tasks = wait_for("every task of the run to count as completed", ended, 30)
    stages = {each["id"]: each["name"].partition(" ")[0] for each in tasks}
    waits = {
        stages[each["id"]]: [stages.get(one["id"]) for one in each["task_inputs"].get("wait_for", [])] for each in tasks
    }
    assert waits["monitor"] == []
    assert all(before in waits[name] for before, name in pairwise(loop)), waits


def newest_artifacts(stack: Stack) -> dict[str, Any]:
    return {each["key"]: each for each in stack.prefect("/artifacts/latest/filter", {}) if each["key"]}


def test_a_web_page_can_start_nothing_on_the_prefect_server(stack: Stack) -> None:
    """Neither from another origin nor without a token; and nobody may choose what command a run executes."""
    url = f"{stack.prefect_url}/deployments/{stack.prefect('/deployments/name/cycle/cycle')['id']}/create_flow_run"
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}, {}):
        assert httpx.post(url, json={}, headers=headers, trust_env=False).status_code == 403
    template = stack.prefect("/work_pools/foreact")["base_job_template"]
    assert "{{" not in template["job_configuration"]["command"]
    assert not {"command", "env", "working_dir"} & set(template["variables"]["properties"])


def test_the_schedule_follows_the_setting(stack: Stack) -> None:
    assert intervals(stack) == [("interval", INTERVAL_S)]


def intervals(stack: Stack) -> list[tuple[str, float]]:
    """Return slug and seconds of each schedule of the cycle."""
    schedules = stack.prefect("/deployments/name/cycle/cycle")["schedules"]
    return [(each["slug"], each["schedule"]["interval"]) for each in schedules]


def deploy_by_hand(stack: Stack, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", *arguments],
        cwd=PROJECT,
        env=environment(
            PREFECT_API_URL=stack.prefect_url,
            PREFECT_HOME=str(stack.folder / "by-hand"),
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
            DO_NOT_TRACK="1",
        ),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def second_at_once(stack: Stack) -> None:
    """Ask Prefect itself for two cycles at once: at most one can run."""
    address = f"/deployments/{stack.prefect('/deployments/name/cycle/cycle')['id']}/create_flow_run"
    for _ in range(2):
        stack.prefect(address, {"state": {"type": "SCHEDULED"}})


@pytest.mark.usefixtures("second_at_once")
def test_prefect_deploy_by_hand_works_duplicates_nothing_and_keeps_the_interval(stack: Stack) -> None:
    """Newer releases of FastAPI and SQLAlchemy break exactly this."""
    deploy_by_hand(stack, "--all")
    deployed = {each["name"]: each for each in stack.prefect("/deployments/filter", {})}
    assert sorted(deployed) == ["backtest", "cycle", "tend", "upkeep"]
    assert {each["work_pool_name"] for each in deployed.values()} == {"foreact"}
    wait_for("the configured interval", lambda: intervals(stack) == [("interval", INTERVAL_S)], 20)


def test_two_automations_are_ready_to_be_switched_on(stack: Stack) -> None:
    ready = {each["name"]: each["enabled"] for each in stack.prefect("/automations/filter", {})}
    assert [ready[name] for name in (QUIET, REPLAY)] == [False, False]


@pytest.mark.skipif(not IS_THOROUGH, reason="it takes minutes: `make thorough`")
def test_an_automation_that_is_switched_on_starts_a_backtest_which_shows_how_far_it_is(stack: Stack) -> None:
    ready = {each["name"]: each for each in stack.prefect("/automations/filter", {})}
    stack.prefect(f"/automations/{ready[REPLAY]['id']}", {"enabled": True}, "PATCH")

    def set_a_goal() -> list[dict[str, Any]]:
        """The server may not know yet that it is to look at such events."""
        goal = {"prefect.resource.id": "foreact.goal.by-hand"}
        event = {"id": str(uuid4()), "occurred": f"{stack.now()}Z", "event": "foreact.goal.set", "resource": goal}
        stack.prefect("/events", [event])
        return stack.runs(flow="backtest")

    wait_for("the start of a backtest", set_a_goal, 60, 5.0)
    run = wait_for("a backtest", lambda: stack.runs("COMPLETED", flow="backtest"), 90)[0]
    progress = newest_artifacts(stack)["backtest-progress"]
    assert (progress["flow_run_id"], progress["type"], progress["data"]) == (run["id"], "progress", 100.0)


def test_every_cell_of_the_notebook_runs_beside_the_stack(stack: Stack) -> None:
    wait_for("a forecast of the CPU", lambda: "cpu_used_ratio" in json.dumps(stack.api("/predictions")), 90)
    done = subprocess.run(
        [sys.executable, "-c", RUN_CELLS, str(NOTEBOOK)],
        cwd=stack.folder,
        env=environment(MPLBACKEND="Agg"),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("COMPLETED Watching ")
    assert "notebook" in [run["parameters"].get("reason") for run in stack.runs("COMPLETED")]


def test_it_says_where_everything_is_and_what_happens_next(stack: Stack) -> None:
    for address in (f"{stack.url}/", f"{stack.url}/docs", stack.prefect_url.removesuffix("/api")):
        assert address in stack.output
    assert f"every {INTERVAL_S:g} s" in stack.output
    assert "30 samples" in stack.output


def test_a_second_up_in_the_same_folder_is_refused_in_one_line(stack: Stack) -> None:
    again = subprocess.run(
        command("-C", str(stack.folder), "up"), env=environment(), capture_output=True, text=True, timeout=60
    )
    assert again.returncode == 1
    assert again.stdout == ""
    assert len(again.stderr.strip().splitlines()) == 1
    assert "already running" in again.stderr
    assert str(stack.process.pid) in again.stderr


def test_nothing_of_it_talks_to_the_outside(stack: Stack) -> None:
    for process in stack.members():
        remote = {peer.raddr.ip for peer in process.net_connections("inet") if peer.raddr}
        assert remote <= {"127.0.0.1", "::1"}, process.cmdline()


@pytest.mark.usefixtures("second_at_once")
def test_a_run_beside_another_is_skipped_and_nothing_shows_as_cancelled(stack: Stack) -> None:
    """It is the last: whatever the others set going has had its time."""

    def skipped() -> list[dict[str, Any]]:
        return [run for run in stack.runs("COMPLETED") if run["state"]["name"] == "Skipped"]

    (run, *_) = wait_for("a run that was skipped", skipped, 30)
    assert run["state"]["message"] == SKIPPED
    # The newest may have been refused this moment.
    wait_for("no run to show as cancelled", lambda: not stack.prefect("/flow_runs/filter", CANCELLED), 30)
