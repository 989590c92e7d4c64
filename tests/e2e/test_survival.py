"""`kill -9` of any process: the stack carries on within two intervals, and no run stays `Running`."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import httpx
import pytest

from storage import open_store
from tests.e2e.conftest import Stack, launch, start_stack, wait_for

PARTS = ("server", "worker", "facade", "guard")


def start_a_cycle(stack: Stack) -> str:
    """Ask for a cycle, wait until it runs, and return its id."""

    def running() -> str | None:
        return next((str(run["id"]) for run in stack.runs("RUNNING")), None)

    with contextlib.suppress(httpx.HTTPStatusError):  # 409: one that runs already will do as well
        stack.api("/analysis/trigger", {})
    return str(wait_for("a cycle that runs", running, stack.carries_on_within_s, every_s=0.05))


@pytest.mark.parametrize("name", PARTS)
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
    assert stack.api("/status")["configuration_trouble"] is None


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
