"""The levers of a Prefect server, each turned, seen and turned back on a real one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from handlers import discover_actions
from handlers.sandbox.parent import CallResult, call
from storage.records import GoalType, ReceiptStatus
from tests.handlers.conftest import context_for, make_goal

LATE = make_goal('prefect_run_age_seconds{deployment="greet/nightly"}', GoalType("DEADLINE"))
ACTIONS = {name: each for name, each in discover_actions().items() if name.startswith("prefect_")}
pytestmark = pytest.mark.timeout(180)


@pytest.mark.slow
def test_where_no_server_is_known_none_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    context = context_for(options={"work_queue": "pool/default"})
    result = call(ACTIONS["prefect_priority"], "run", {}, None, context, 100)
    assert result.status is ReceiptStatus.FAILED
    assert "No Prefect server is known" in result.detail


@pytest.mark.slow
def test_a_server_that_is_away_is_said_and_its_key_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_CLIENT_MAX_RETRIES", "0")
    where = {"api_url": "http://127.0.0.1:9/api", "api_key": "pnu_s3cret"}
    context = context_for(options={"work_pool": "etl", **where})
    result = call(ACTIONS["prefect_concurrency"], "run", {"amount": 2}, None, context, 100)
    assert result.status is ReceiptStatus.FAILED
    assert "does not answer" in result.detail
    assert "s3cret" not in f"{result.detail} {result.evidence}"


def test_each_proposes_what_is_configured_without_asking_a_server() -> None:
    options = {"deployment": "greet/nightly", "by_s": -600}
    (move,) = ACTIONS["prefect_reschedule"].propose(LATE, context_for(options=options))
    assert move.params == {"by_s": -600.0}
    pool = {"work_pool": "etl", "by": 1}
    (more,) = ACTIONS["prefect_concurrency"].propose(LATE, context_for(options=pool))
    assert (more.params, more.target) == ({"by": 1}, "work_pool:etl")


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_each_is_tried_for_deadlines_alone(name: str) -> None:
    assert ACTIONS[name].serves(LATE)
    assert not ACTIONS[name].serves(make_goal())
    assert not ACTIONS[name].serves(make_goal("prefect_queue_depth", GoalType("DEADLINE")))


def test_the_rerun_is_of_the_run_that_the_goal_names_and_may_cancel_it() -> None:
    inputs = {"flow_run_id": "0a1b2c3d-0000-0000-0000-000000000000", "deployment": "greet/nightly"}
    goal = LATE.model_copy(update={"because": {"inputs": inputs}})
    propose = ACTIONS["prefect_rerun"].propose
    options = {"deployment": "greet/nightly", "cancel_running": True}
    (again,) = propose(goal, context_for(options=options))
    assert (again.params, again.target) == ({"flow_run_id": inputs["flow_run_id"]}, "deployment:greet/nightly")
    assert propose(goal, context_for(options=options | {"cancel_running": False})) == []
    assert propose(goal, context_for(options=options | {"deployment": "greet/other"})) == []


def test_only_the_rerun_cannot_be_undone() -> None:
    assert {name for name, each in ACTIONS.items() if not each.reversible} == {"prefect_rerun"}


class LeverServer:
    """A pool with two queues, two deployments in it, and the runs that a test asks for."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=60)
        self.pool, self.options = f"pool-{uuid4().hex[:8]}", {"api_url": url}
        self.post("/work_pools/", {"name": self.pool, "type": "process"})
        for queue in ("batch", "urgent"):
            self.post(f"/work_pools/{self.pool}/queues", {"name": queue})
        flow = self.post("/flows/", {"name": f"flow-{self.pool}"})["id"]
        self.names = {queue: f"flow-{self.pool}/{queue}" for queue in ("batch", "urgent")}
        self.ids = {queue: self._deployed(flow, queue) for queue in self.names}

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Post, again where the server says that another writer holds its database."""
        for _ in range(20):
            answer = self.http.post(path, json=body)
            if answer.status_code != 503:
                break
            time.sleep(0.5)
        assert answer.is_success, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        return self.http.get(path).json()

    def run(self, queue: str, state: dict[str, Any]) -> str:
        return str(self.post(f"/deployments/{self.ids[queue]}/create_flow_run", {"state": state})["id"])

    def waiting(self, queue: str, start: datetime) -> str:
        return self.run(queue, {"type": "SCHEDULED", "state_details": {"scheduled_time": start.isoformat()}})

    def moved_to(self, run: str, kind: str) -> str:
        self.post(f"/flow_runs/{run}/set_state", {"state": {"type": kind}, "force": True})
        return run

    def start_of(self, run: str) -> datetime:
        return datetime.fromisoformat(self.get(f"/flow_runs/{run}")["next_scheduled_start_time"])

    def priorities(self) -> dict[str, int]:
        queues = self.post(f"/work_pools/{self.pool}/queues/filter", {})
        return {queue["name"]: queue["priority"] for queue in queues}

    def first_for_a_worker(self) -> str:
        """Return the run that a worker with one free slot would be given, by respect of priorities."""
        runs = self.post(f"/work_pools/{self.pool}/get_scheduled_flow_runs", {"scheduled_before": None})
        return str(runs[0]["flow_run"]["id"])

    def _deployed(self, flow: str, queue: str) -> str:
        where = {"work_pool_name": self.pool, "work_queue_name": queue, "enforce_parameter_schema": False}
        return str(self.post("/deployments/", {"name": queue, "flow_id": flow, **where})["id"])


@pytest.fixture
def prefect(prefect_url: str) -> Iterator[LeverServer]:
    server = LeverServer(prefect_url)
    yield server
    server.http.close()


def do(
    server: LeverServer, name: str, phase: Any = "run", before: Any = None, params: Any = None, **options: Any
) -> CallResult:
    """Call an action in this process: a process of its own would spend seconds with importing Prefect each time."""
    context = context_for(options={**server.options, **options})
    return call(replace(ACTIONS[name], runs_in_process=True), phase, params or {}, before, context, 60)


def limits(server: LeverServer) -> dict[str, tuple[dict[str, str], Any]]:
    """Return, for each kind of limit, the options that name it and how a test reads it."""
    deployment = server.ids["batch"]
    server.post("/v2/concurrency_limits/", {"name": f"db-{server.pool}", "limit": 2})
    pool, queue = f"/work_pools/{server.pool}", f"/work_pools/{server.pool}/queues/batch"
    return {
        "pool": ({"work_pool": server.pool}, lambda: server.get(pool)["concurrency_limit"]),
        "queue": ({"work_queue": f"{server.pool}/batch"}, lambda: server.get(queue)["concurrency_limit"]),
        "deployment": (
            {"deployment": server.names["batch"]},
            lambda: (server.get(f"/deployments/{deployment}")["global_concurrency_limit"] or {}).get("limit"),
        ),
        "global": (
            {"global_limit": f"db-{server.pool}"},
            lambda: server.get(f"/v2/concurrency_limits/db-{server.pool}")["limit"],
        ),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pool", "queue", "deployment", "global"])
def test_a_limit_is_set_seen_and_put_back_also_to_none(prefect: LeverServer, kind: str) -> None:
    options, read = limits(prefect)[kind]
    first = read()
    assert first == (2 if kind == "global" else None)
    params = {"amount": 4}
    before = do(prefect, "prefect_concurrency", "capture", params=params, **options).value
    assert do(prefect, "prefect_concurrency", "check", before, params, **options).status is ReceiptStatus.SKIPPED
    result = do(prefect, "prefect_concurrency", params=params, **options)
    assert result.succeeded, result.detail
    assert read() == 4
    assert do(prefect, "prefect_concurrency", "check", before, params, **options).status is ReceiptStatus.SUCCEEDED
    assert do(prefect, "prefect_concurrency", params=params, **options).status is ReceiptStatus.SKIPPED
    assert do(prefect, "prefect_concurrency", "undo", before, params, **options).succeeded
    assert read() == first
    assert do(prefect, "prefect_concurrency", "undo", before, params, **options).status is ReceiptStatus.SKIPPED


@pytest.mark.slow
def test_a_limit_that_somebody_else_set_since_is_not_undone(prefect: LeverServer) -> None:
    options = {"work_pool": prefect.pool}
    before = do(prefect, "prefect_concurrency", "capture", params={"amount": 4}, **options).value
    assert do(prefect, "prefect_concurrency", params={"amount": 4}, **options).succeeded
    prefect.http.patch(f"/work_pools/{prefect.pool}", json={"concurrency_limit": 9})
    result = do(prefect, "prefect_concurrency", "undo", before, {"amount": 4}, **options)
    assert result.status is ReceiptStatus.SKIPPED
    assert prefect.get(f"/work_pools/{prefect.pool}")["concurrency_limit"] == 9


@pytest.mark.slow
def test_one_more_needs_a_limit_and_stays_within_what_is_configured(prefect: LeverServer) -> None:
    options = {"work_pool": prefect.pool, "most": 5}
    assert "no limit yet" in do(prefect, "prefect_concurrency", params={"by": 1}, **options).detail
    assert do(prefect, "prefect_concurrency", params={"amount": 4}, **options).succeeded
    assert do(prefect, "prefect_concurrency", params={"by": 3}, **options).succeeded
    assert prefect.get(f"/work_pools/{prefect.pool}")["concurrency_limit"] == 5
    assert do(prefect, "prefect_concurrency", params={"amount": 6}, **options).detail.startswith("Refused: amount")


@pytest.mark.slow
def test_a_pool_that_is_not_there_is_said(prefect: LeverServer) -> None:
    result = do(prefect, "prefect_concurrency", params={"amount": 4}, work_pool="no-such")
    assert result.status is ReceiptStatus.FAILED
    assert "404" in result.detail
    assert "no-such" in result.detail


@pytest.mark.slow
def test_a_queue_that_goes_first_is_served_first_and_every_queue_gets_its_place_back(prefect: LeverServer) -> None:
    options, first = {"work_queue": f"{prefect.pool}/urgent"}, prefect.priorities()
    past = datetime(2020, 1, 1, tzinfo=UTC)
    batch = prefect.waiting("batch", past)
    urgent = prefect.waiting("urgent", past + timedelta(hours=1))
    assert prefect.first_for_a_worker() == batch
    before = do(prefect, "prefect_priority", "capture", **options).value
    assert do(prefect, "prefect_priority", "check", before, **options).status is ReceiptStatus.SKIPPED
    result = do(prefect, "prefect_priority", **options)
    assert result.succeeded, result.detail
    assert prefect.first_for_a_worker() == urgent
    assert do(prefect, "prefect_priority", "check", before, **options).status is ReceiptStatus.SUCCEEDED
    assert do(prefect, "prefect_priority", **options).status is ReceiptStatus.SKIPPED
    assert do(prefect, "prefect_priority", "undo", before, **options).succeeded
    assert prefect.priorities() == first
    assert prefect.first_for_a_worker() == batch
    assert do(prefect, "prefect_priority", "undo", before, **options).status is ReceiptStatus.SKIPPED


@pytest.mark.slow
def test_a_deployment_goes_to_another_queue_and_back(prefect: LeverServer) -> None:
    options = {"work_queue": f"{prefect.pool}/urgent", "deployment": prefect.names["batch"]}
    path = f"/deployments/{prefect.ids['batch']}"
    before = do(prefect, "prefect_priority", "capture", **options).value
    result = do(prefect, "prefect_priority", **options)
    assert result.succeeded, result.detail
    assert prefect.get(path)["work_queue_name"] == "urgent"
    assert do(prefect, "prefect_priority", "check", before, **options).status is ReceiptStatus.SUCCEEDED
    assert do(prefect, "prefect_priority", "undo", before, **options).succeeded
    assert prefect.get(path)["work_queue_name"] == "batch"


@pytest.mark.slow
def test_a_queue_that_is_not_there_is_said_with_those_that_are(prefect: LeverServer) -> None:
    result = do(prefect, "prefect_priority", work_queue=f"{prefect.pool}/urgnt")
    assert result.status is ReceiptStatus.FAILED
    assert "batch, default, urgent" in result.detail


@pytest.mark.slow
def test_runs_that_wait_are_moved_and_moved_back_unless_they_began(prefect: LeverServer) -> None:
    tick = context_for().tick
    near = [prefect.waiting("batch", tick + timedelta(minutes=minutes)) for minutes in (5, 30)]
    far = prefect.waiting("batch", tick + timedelta(hours=5))
    late = prefect.waiting("batch", tick - timedelta(hours=1))
    other = prefect.waiting("urgent", tick + timedelta(minutes=5))
    options, params = {"deployment": prefect.names["batch"]}, {"by_s": 1_800}
    before = do(prefect, "prefect_reschedule", "capture", params=params, **options).value
    assert do(prefect, "prefect_reschedule", "check", before, params, **options).status is ReceiptStatus.SKIPPED
    result = do(prefect, "prefect_reschedule", params=params, **options)
    assert result.succeeded, result.detail
    assert [prefect.start_of(run) - tick for run in near] == [timedelta(minutes=35), timedelta(hours=1)]
    assert prefect.start_of(late) - tick == timedelta(minutes=30)
    assert prefect.start_of(far) - tick == timedelta(hours=5)
    assert prefect.start_of(other) - tick == timedelta(minutes=5)
    assert do(prefect, "prefect_reschedule", "check", before, params, **options).status is ReceiptStatus.SUCCEEDED
    prefect.moved_to(near[0], "RUNNING")
    kept = {**(before or {}), **(result.undo or {})}
    undone = do(prefect, "prefect_reschedule", "undo", kept, params, **options)
    assert undone.detail == "Moved 2 run(s) back."
    assert prefect.start_of(near[1]) - tick == timedelta(minutes=30)
    assert prefect.get(f"/flow_runs/{near[0]}")["state_type"] == "RUNNING"
    assert do(prefect, "prefect_reschedule", "undo", kept, params, **options).status is ReceiptStatus.SKIPPED


@pytest.mark.slow
def test_a_run_starts_earlier_but_not_before_now(prefect: LeverServer) -> None:
    tick = context_for().tick
    soon = prefect.waiting("urgent", tick + timedelta(minutes=10))
    late = prefect.waiting("urgent", tick - timedelta(minutes=10))
    result = do(prefect, "prefect_reschedule", params={"by_s": -3_000}, deployment=prefect.names["urgent"])
    assert result.succeeded, result.detail
    assert prefect.start_of(soon) == tick
    assert prefect.start_of(late) == tick - timedelta(minutes=10)
    again = do(prefect, "prefect_reschedule", params={"by_s": -3_000}, deployment=prefect.names["batch"])
    assert again.status is ReceiptStatus.SKIPPED


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["FAILED", "CRASHED", "CANCELLED"])
def test_a_run_that_ended_badly_is_scheduled_anew(prefect: LeverServer, kind: str) -> None:
    run = prefect.moved_to(prefect.moved_to(prefect.run("batch", {"type": "PENDING"}), "RUNNING"), kind)
    result = do(prefect, "prefect_rerun", deployment=prefect.names["batch"])
    assert result.succeeded, result.detail
    seen = prefect.get(f"/flow_runs/{run}")
    assert (seen["state_type"], seen["state_name"]) == ("SCHEDULED", "AwaitingRetry")
    assert prefect.first_for_a_worker() == run


@pytest.mark.slow
def test_a_run_that_ended_well_or_too_often_or_belongs_to_another_is_left_alone(prefect: LeverServer) -> None:
    failed = prefect.moved_to(prefect.moved_to(prefect.run("batch", {"type": "PENDING"}), "RUNNING"), "FAILED")
    name, other = prefect.names["batch"], prefect.names["urgent"]
    assert "is no run of" in do(prefect, "prefect_rerun", params={"flow_run_id": failed}, deployment=other).detail
    often = do(prefect, "prefect_rerun", params={"flow_run_id": failed}, deployment=name, most_attempts=1)
    assert "ran 1 times already" in often.detail
    assert "no id of a flow run" in do(prefect, "prefect_rerun", params={"flow_run_id": "../x"}, deployment=name).detail
    done = prefect.moved_to(prefect.moved_to(prefect.run("batch", {"type": "PENDING"}), "RUNNING"), "COMPLETED")
    assert do(prefect, "prefect_rerun", deployment=name).status is ReceiptStatus.SKIPPED
    assert prefect.get(f"/flow_runs/{done}")["state_type"] == "COMPLETED"
    assert prefect.get(f"/flow_runs/{failed}")["state_type"] == "FAILED"


@pytest.mark.slow
def test_a_run_under_way_is_cancelled_only_where_that_is_configured_and_never_run_beside_itself(
    prefect: LeverServer,
) -> None:
    run, name = prefect.moved_to(prefect.run("batch", {"type": "PENDING"}), "RUNNING"), prefect.names["batch"]
    assert do(prefect, "prefect_rerun", deployment=name).status is ReceiptStatus.SKIPPED
    assert prefect.get(f"/flow_runs/{run}")["state_type"] == "RUNNING"
    stuck = do(prefect, "prefect_rerun", deployment=name, cancel_running=True, wait_s=1)
    assert "has not within 1 s" in stuck.detail
    assert prefect.get(f"/flow_runs/{run}")["state_type"] == "CANCELLING"
    prefect.moved_to(run, "CANCELLED")
    assert do(prefect, "prefect_rerun", deployment=name, cancel_running=True).succeeded
    assert prefect.get(f"/flow_runs/{run}")["state_name"] == "AwaitingRetry"


@pytest.mark.slow
def test_a_rehearsal_changes_nothing(prefect: LeverServer) -> None:
    run = prefect.moved_to(prefect.moved_to(prefect.run("batch", {"type": "PENDING"}), "RUNNING"), "FAILED")
    waits = prefect.waiting("urgent", context_for().tick + timedelta(minutes=10))
    asked = {
        "prefect_rerun": {"deployment": prefect.names["batch"]},
        "prefect_reschedule": {"deployment": prefect.names["urgent"], "by_s": 600},
        "prefect_priority": {"work_queue": f"{prefect.pool}/urgent"},
        "prefect_concurrency": {"work_pool": prefect.pool},
    }
    first = prefect.priorities()
    for name, options in asked.items():
        context = context_for(options={**prefect.options, **options}, dry_run=True)
        params = {"amount": 3} if name == "prefect_concurrency" else {}
        result = call(replace(ACTIONS[name], runs_in_process=True), "run", params, None, context, 60)
        assert result.status is ReceiptStatus.DRY_RUN, result.detail
    assert prefect.get(f"/flow_runs/{run}")["state_type"] == "FAILED"
    assert prefect.start_of(waits) == context_for().tick + timedelta(minutes=10)
    assert prefect.priorities() == first
    assert prefect.get(f"/work_pools/{prefect.pool}")["concurrency_limit"] is None
