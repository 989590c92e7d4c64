"""`kill -9` of any process: the stack carries on within two intervals, and no run stays `Running`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import INTERVAL_S, Stack, start_stack, wait_for

# A reaper needs two looks, 20 s apart, before it believes that a run has no process.
WITHIN_S = 2 * INTERVAL_S + 20


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = start_stack(tmp_path_factory.mktemp("victim"))
    yield running
    running.stop()


@pytest.mark.parametrize("name", ["worker", "facade", "server", "flow run", "guard"])
def test_it_carries_on_after_kill_9(victim: Stack, name: str) -> None:
    killed_at = victim.now()
    victim.kill(name)
    wait_for(f"a cycle after the death of the {name}", lambda: victim.completed_since(killed_at), WITHIN_S)
    time.sleep(1)
    for part in ("server", "worker", "facade", "guard"):
        assert len(victim.processes(part)) == 1, part


def test_a_run_whose_worker_and_process_died_does_not_stay_running(victim: Stack) -> None:
    wait_for("a cycle that runs", lambda: victim.runs("RUNNING"), 3 * INTERVAL_S, every_s=0.1)
    run = victim.runs("RUNNING")[0]
    victim.processes("worker")[0].kill()
    for process in victim.processes("flow run"):
        process.kill()

    def is_over() -> bool:
        return victim.prefect(f"/flow_runs/{run['id']}")["state_type"] in ("CRASHED", "COMPLETED", "FAILED")

    wait_for("the end of the run without a process", is_over, 75)


def test_no_run_is_left_running(victim: Stack) -> None:
    def stale() -> list[dict[str, object]]:
        return [run for run in victim.runs("RUNNING", "PENDING", "CANCELLING") if run["total_run_time"] > WITHIN_S]

    wait_for("the end of every old run", lambda: not stale(), 60)


def test_ctrl_c_ends_everything_and_marks_nothing_as_running(victim: Stack) -> None:
    wait_for("a cycle that runs", lambda: victim.runs("RUNNING"), 3 * INTERVAL_S, every_s=0.1)
    assert victim.stop() == 0
    assert victim.members() == []
    assert "stopped" in victim.output
