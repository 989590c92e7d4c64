"""`kill -9` of any process: the stack carries on within two intervals, and no run stays `Running`."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import pytest

from storage import open_store
from tests import IS_THOROUGH
from tests.e2e.conftest import Stack, command, environment, launch, start_stack, wait_for

PARTS = ("server", "worker", "facade", "guard")


def start_a_cycle(stack: Stack) -> str:
    """Ask for a cycle, wait until it runs, and return its id."""

    def running() -> str | None:
        return next((str(run["id"]) for run in stack.runs("RUNNING")), None)

    with contextlib.suppress(httpx.HTTPStatusError):  # 409: one that runs already will do as well
        stack.api("/analysis/trigger", {})
    return str(wait_for("a cycle that runs", running, stack.carries_on_within_s, every_s=0.05))


@pytest.mark.parametrize("name", [*PARTS, "engine"])
def test_it_carries_on_after_kill_9(stack: Stack, name: str) -> None:
    killed_at = stack.now()
    stack.kill(name)
    wait_for(
        f"a cycle after the death of the {name}", lambda: stack.completed_since(killed_at), stack.carries_on_within_s
    )
    for part in PARTS:
        wait_for(f"one {part} again", lambda part=part: len(stack.processes(part)) == 1, 20)


def test_a_flow_run_that_is_killed_counts_as_crashed_and_the_next_one_runs(stack: Stack) -> None:
    run_id, killed_at = start_a_cycle(stack), stack.now()
    for process in stack.processes("flow run"):
        process.kill()
    wait_for("the next cycle", lambda: stack.completed_since(killed_at), stack.carries_on_within_s)
    assert stack.prefect(f"/flow_runs/{run_id}")["state_type"] in ("CRASHED", "COMPLETED")


def test_a_run_whose_worker_died_with_its_process_does_not_stay_running(stack: Stack) -> None:
    run_id, killed_at = start_a_cycle(stack), stack.now()
    stack.processes("worker")[0].kill()
    for process in stack.processes("flow run"):
        process.kill()

    def is_over() -> bool:
        return stack.prefect(f"/flow_runs/{run_id}")["state_type"] in ("CRASHED", "COMPLETED")

    wait_for("the end of the run without a process", is_over, stack.carries_on_within_s)
    wait_for("the next cycle", lambda: stack.completed_since(killed_at), stack.carries_on_within_s)


def test_a_broken_configuration_stops_nothing_not_even_where_the_facade_starts_anew(stack: Stack) -> None:
    file = stack.folder / "foreact.toml"
    usable, broken_at = file.read_text(), stack.now()
    try:
        file.write_text(f"{usable}\n[executor]\nrate_limits = ['now and then']\n")
        stack.kill("facade")
        wait_for("the next cycle", lambda: stack.completed_since(broken_at), stack.carries_on_within_s)
        wait_for("the facade again", lambda: len(stack.processes("facade")) == 1, 20)
        told = wait_for("what is wrong", lambda: stack.api("/status")["configuration_trouble"], 20)
        assert "executor.rate_limits.0" in told
        assert not [run for run in stack.runs("FAILED", "CRASHED") if run["start_time"] > broken_at]
    finally:
        file.write_text(usable)
    wait_for("nothing wrong", lambda: stack.api("/status")["configuration_trouble"] is None, 5)


def test_kill_9_of_the_supervisor_leaves_nothing_behind_and_the_next_start_cleans_up(tmp_path: Path) -> None:
    first = launch(tmp_path / "home")
    wait_for("a cycle that runs", lambda: first.runs("RUNNING"), 120, every_s=0.05)
    left_id = str(first.runs("RUNNING")[0]["id"])
    first.process.kill()
    first.process.wait()
    wait_for("the end of everything it had started", lambda: not first.members(), 20)

    again = start_stack(tmp_path / "home", {"server": {"port": first.port, "prefect_port": first.prefect_port}})
    assert again.prefect(f"/flow_runs/{left_id}")["state_type"] != "RUNNING"
    start_a_cycle(again)
    assert again.stop() == 0
    assert again.members() == []
    assert_is_whole_in_one_file(tmp_path, again.folder)
    assert "stopped" in again.output


def assert_is_whole_in_one_file(tmp_path: Path, folder: Path) -> None:
    """After a clean stop a copy of the file alone has all that was recorded."""
    copied = shutil.copy(folder / ".foreact" / "foreact.duckdb", tmp_path / "copy.duckdb")
    assert not (folder / ".foreact" / "foreact.duckdb.wal").exists()
    with open_store(Path(copied)) as store:
        assert store.cycles.count() > 0


def record(stack: Stack, first: int, count: int) -> int:
    """Record samples; return how many were acknowledged."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=30)
    moments = ((k, midnight + timedelta(seconds=k)) for k in range(first, first + count))
    batch = [{"metric_name": "numbered", "value": k, "timestamp": at.isoformat()} for k, at in moments]
    with contextlib.suppress(httpx.HTTPError):
        stack.api("/metrics", batch)
        return count
    return 0


def recorded(stack: Stack) -> int:
    """Return how many of these samples there are, each counted once."""
    sql = """SELECT count(DISTINCT value) FROM samples
             WHERE series_id IN (SELECT series_id FROM series WHERE metric = 'numbered')"""
    with open_store(stack.folder / ".foreact" / "foreact.duckdb") as store:
        return int(store.engine.rows(sql)[0][0])


def test_after_a_fatal_error_of_the_database_the_facade_is_started_again_and_nothing_is_lost(stack: Stack) -> None:
    (facade,) = stack.processes("facade")
    log = stack.folder / ".foreact" / "foreact.duckdb.wal"
    acknowledged = record(stack, 0, 100)
    # No file of the facade may grow any more, as on a full disk; a checkpoint that fails half-way is fatal to DuckDB.
    facade.rlimit(psutil.RLIMIT_FSIZE, ((log.stat().st_size if log.exists() else 0) + 4_096, psutil.RLIM_INFINITY))
    failed_at = stack.now()
    deadline_s = time.monotonic() + 60
    while facade.is_running() and time.monotonic() < deadline_s:
        acknowledged += record(stack, acknowledged, 100)
        with contextlib.suppress(Exception), open_store(stack.folder / ".foreact" / "foreact.duckdb") as store:
            store.engine.rows("CHECKPOINT")
        time.sleep(0.2)
    assert not facade.is_running()
    wait_for("the facade again", lambda: stack.api("/status"), 60)
    assert stack.processes("facade")[0].pid != facade.pid
    assert recorded(stack) >= acknowledged > 0
    assert record(stack, acknowledged + 1_000, 10) == 10
    wait_for("the next cycle", lambda: stack.completed_since(failed_at), stack.carries_on_within_s)


AWAY_S = float(os.environ.get("FOREACT_TEST_AWAY_S", "25"))


@pytest.mark.skipif(not IS_THOROUGH, reason="it takes minutes, and `make chaos` does it for longer: `make thorough`")
@pytest.mark.timeout(AWAY_S + 400)
def test_while_the_prefect_server_is_away_everything_else_goes_on_and_so_does_the_loop_afterwards(stack: Stack) -> None:
    acknowledged, ends_s = 0, time.monotonic() + AWAY_S
    before = recorded(stack)
    while time.monotonic() < ends_s:
        for server in stack.processes("server"):
            with contextlib.suppress(psutil.Error):
                server.suspend()
        acknowledged += record(stack, 100_000 + acknowledged, 10)
        time.sleep(1)
    assert acknowledged >= AWAY_S / 2 * 10
    assert stack.process.poll() is None
    back_at = stack.now()
    for server in stack.processes("server"):
        with contextlib.suppress(psutil.Error):
            server.resume()
    wait_for("the next cycle", lambda: stack.completed_since(back_at), stack.carries_on_within_s)
    assert recorded(stack) == before + acknowledged
    for part in PARTS:
        wait_for(f"one {part} again", lambda part=part: len(stack.processes(part)) == 1, 30)
    assert not [run for run in stack.runs("RUNNING") if run["start_time"] < back_at]


def test_a_second_stack_in_the_same_folder_is_refused_and_the_first_goes_on(stack: Stack) -> None:
    before = {part: [each.pid for each in stack.processes(part)] for part in PARTS}
    second = subprocess.run(
        command("-C", str(stack.folder), "up"), env=environment(), capture_output=True, text=True, timeout=60
    )
    assert second.returncode != 0
    (line,) = [line for line in (second.stdout + second.stderr).splitlines() if line.strip()]
    assert str(stack.folder) in line
    assert {part: [each.pid for each in stack.processes(part)] for part in PARTS} == before
    assert record(stack, 200_000, 10) == 10
