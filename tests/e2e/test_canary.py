"""The canary: a real server, real deployments, a run that nobody asked for, and the notebook beside them."""

from __future__ import annotations

import json
import subprocess
import sys

import httpx

from tests.e2e.conftest import INTERVAL_S, PROJECT, Stack, command, environment, wait_for

NOTEBOOK = PROJECT / "examples" / "notebook.ipynb"
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
        return [run for run in stack.runs("COMPLETED") if run["auto_scheduled"]]

    run = wait_for("a scheduled run that completed", scheduled, 4 * INTERVAL_S)[0]
    assert run["work_pool_name"] == "foreact"
    assert run["run_count"] == 1


def test_a_web_page_can_start_nothing_on_the_prefect_server(stack: Stack) -> None:
    """Neither from another origin nor without a token; and nobody may choose what command a run executes."""
    url = f"{stack.prefect_url}/deployments/{stack.prefect('/deployments/name/cycle/cycle')['id']}/create_flow_run"
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}, {}):
        assert httpx.post(url, json={}, headers=headers, trust_env=False).status_code == 403
    template = stack.prefect("/work_pools/foreact")["base_job_template"]
    assert "{{" not in template["job_configuration"]["command"]
    assert not {"command", "env", "working_dir"} & set(template["variables"]["properties"])


def test_the_schedule_follows_the_setting(stack: Stack) -> None:
    schedules = stack.prefect("/deployments/name/cycle/cycle")["schedules"]
    assert [schedule["schedule"]["interval"] for schedule in schedules] == [INTERVAL_S]


def test_cycle_and_tend_cancel_what_would_overlap(stack: Stack) -> None:
    for name in ("cycle", "tend"):
        deployment = stack.prefect(f"/deployments/name/{name}/{name}")
        assert deployment["global_concurrency_limit"]["limit"] == 1
        assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"


def test_prefect_deploy_by_hand_works_and_duplicates_nothing(stack: Stack) -> None:
    """Newer releases of FastAPI and SQLAlchemy break exactly this."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
        cwd=PROJECT,
        env=environment(
            PREFECT_API_URL=stack.prefect_url,
            PREFECT_HOME=str(stack.folder / "by-hand"),
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
            DO_NOT_TRACK="1",
        ),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    names = sorted(deployment["name"] for deployment in stack.prefect("/deployments/filter", {}))
    assert names == ["backtest", "cycle", "tend", "upkeep"]


def test_every_cell_of_the_notebook_runs_beside_the_stack(stack: Stack) -> None:
    wait_for("a forecast of the CPU", lambda: "cpu_used_ratio" in json.dumps(stack.api("/predictions")), 90)
    done = subprocess.run(
        [sys.executable, "-c", RUN_CELLS, str(NOTEBOOK)],
        cwd=stack.folder,
        env=environment(MPLBACKEND="Agg"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("COMPLETED cycle-")
    assert "cycle notebook" in [run["name"] for run in stack.runs("COMPLETED")]


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
