"""Deployments are started over Prefect's own REST interface, once per key; what was missed or cut off ends in peace."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import pytest
from prefect.blocks.system import Secret
from prefect.cli import app as prefect_command
from prefect.settings import PREFECT_API_URL, temporary_settings

from api.prefect_client import ANCHOR, BY_INTERVAL, SKIPPED, PrefectTrigger
from api.processes.prefect_rest import PrefectRest
from api.processes.reap import end_left, end_missed
from handlers.support.prefect_blocks import PrefectBlocks
from settings import utc_now
from storage import ForeactError
from tests import PROJECT, forget_clients
from tests.api.processes.test_deployments import IN_DOCKER, docker_template, rows
from tests.conftest import free_port


def register(url: str, name: str, pool: str | None = None, tags: Sequence[str] = (), **more: Any) -> str:
    if pool is not None:
        post(f"{url}/work_pools/", {"name": pool, "type": "process"})
    flow = post(f"{url}/flows/", {"name": name})["id"]
    schema = {"type": "object", "properties": {"reason": {"type": "string", "default": "schedule"}}}
    body = {"name": name, "flow_id": flow, "parameter_openapi_schema": schema, "enforce_parameter_schema": True}
    body |= {"tags": list(tags)} | ({"work_pool_name": pool} if pool else {}) | more
    return str(post(f"{url}/deployments/", body)["id"])


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    return dict(sent("POST", url, body).json())


def sent(method: str, url: str, body: dict[str, Any]) -> httpx.Response:
    """Send, again while a server that has just started holds its own database."""
    for _ in range(20):
        answer = httpx.request(method, url, json=body, timeout=60)
        if answer.status_code != 503:
            return answer.raise_for_status()
        time.sleep(0.5)
    raise AssertionError(answer.text)


def flow_run(url: str, flow_run_id: str) -> dict[str, Any]:
    return dict(httpx.get(f"{url}/flow_runs/{flow_run_id}", timeout=60).raise_for_status().json())


@pytest.fixture
def prefect(prefect_url: str) -> Iterator[PrefectTrigger]:
    trigger = PrefectTrigger(prefect_url)
    yield trigger
    trigger.close()


@pytest.mark.slow
def test_a_started_deployment_is_a_scheduled_flow_run(prefect: PrefectTrigger, prefect_url: str) -> None:
    deployment_id = register(prefect_url, "cycle")
    started = prefect.run("cycle", {"reason": "request"})
    run = flow_run(prefect_url, started.flow_run_id)
    assert run["deployment_id"] == deployment_id
    assert run["parameters"] == {"reason": "request"}
    assert run["state"]["type"] == "SCHEDULED"
    as_browser = {"Accept": "text/html"}
    assert httpx.get(started.url, headers=as_browser).status_code == 200, "the address leads to Prefect's pages"


@pytest.mark.slow
@pytest.mark.parametrize("state", ["SCHEDULED", "PENDING", "RUNNING"])
def test_the_run_that_is_under_way_is_found_unless_it_is_ones_own(
    prefect: PrefectTrigger, prefect_url: str, state: str
) -> None:
    register(prefect_url, f"under-way-{state.lower()}")
    assert prefect.running(f"under-way-{state.lower()}") is None
    started = prefect.run(f"under-way-{state.lower()}", key="mine")
    if state != "SCHEDULED":
        moved = {"state": {"type": state}, "force": True}
        httpx.post(f"{prefect_url}/flow_runs/{started.flow_run_id}/set_state", json=moved).raise_for_status()
    assert prefect.running(f"under-way-{state.lower()}") == started
    assert prefect.running(f"under-way-{state.lower()}", but="mine") is None


@pytest.mark.slow
def test_a_run_that_is_not_due_yet_or_is_over_holds_no_place(prefect: PrefectTrigger, prefect_url: str) -> None:
    deployment_id = register(prefect_url, "later")
    later = {"state": {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}}
    post(f"{prefect_url}/deployments/{deployment_id}/create_flow_run", later)
    started = prefect.run("later")
    over = {"state": {"type": "COMPLETED"}, "force": True}
    httpx.post(f"{prefect_url}/flow_runs/{started.flow_run_id}/set_state", json=over).raise_for_status()
    assert prefect.running("later") is None


@pytest.mark.slow
def test_the_same_key_gives_the_same_run(prefect: PrefectTrigger, prefect_url: str) -> None:
    register(prefect_url, "cycle")
    assert prefect.run("cycle", key="a") == prefect.run("cycle", key="a")
    assert prefect.run("cycle", key="b") != prefect.run("cycle", key="a")
    assert prefect.run("cycle") != prefect.run("cycle")


@pytest.mark.slow
def test_a_deployment_registered_anew_is_found_again(prefect: PrefectTrigger, prefect_url: str) -> None:
    first = register(prefect_url, "tend")
    prefect.run("tend")
    httpx.delete(f"{prefect_url}/deployments/{first}").raise_for_status()
    with pytest.raises(ForeactError) as refusal:
        prefect.run("tend")
    assert refusal.value.code == "deployment_unknown"
    second = register(prefect_url, "tend")
    assert flow_run(prefect_url, prefect.run("tend").flow_run_id)["deployment_id"] == second


@pytest.mark.slow
def test_parameters_that_the_flow_does_not_take_are_refused_in_words(prefect: PrefectTrigger, prefect_url: str) -> None:
    register(prefect_url, "cycle")
    with pytest.raises(ForeactError) as refusal:
        prefect.run("cycle", {"reason": 5})
    assert refusal.value.code == "prefect_refused"


def test_a_server_that_is_not_there_is_said_to_be_unreachable() -> None:
    trigger = PrefectTrigger(f"http://127.0.0.1:{free_port()}/api")
    with pytest.raises(ForeactError) as refusal:
        trigger.run("cycle")
    trigger.close()
    assert (refusal.value.code, refusal.value.status) == ("prefect_unreachable", 503)
    assert "foreact up" in refusal.value.remedy


WANTED = {"slug": BY_INTERVAL, "interval": 60.0, "anchor_date": ANCHOR}


def schedules_of(url: str, deployment: str) -> list[tuple[float, bool]]:
    found = httpx.get(f"{url}/deployments/name/{deployment}/{deployment}").raise_for_status().json()["schedules"]
    return [(each["schedule"]["interval"], each["active"]) for each in found]


@pytest.mark.slow
def test_the_schedule_becomes_what_is_wanted_whatever_it_was(prefect: PrefectTrigger, prefect_url: str) -> None:
    deployment_id, wanted = register(prefect_url, "kept"), [WANTED]
    without_slug = {"schedules": [{"schedule": {"interval": 300.0, "anchor_date": ANCHOR}, "active": True}]}
    sent("PATCH", f"{prefect_url}/deployments/{deployment_id}", without_slug)
    assert prefect.keep_schedules("kept", wanted)
    assert not prefect.keep_schedules("kept", wanted)
    assert schedules_of(prefect_url, "kept") == [(60.0, True)]
    named = {"slug": BY_INTERVAL, "schedule": {"interval": 300.0, "anchor_date": ANCHOR}}
    sent("PATCH", f"{prefect_url}/deployments/{deployment_id}", {"schedules": [named]})
    assert prefect.keep_schedules("kept", wanted), "`prefect deploy` by hand sets what the file says"
    assert schedules_of(prefect_url, "kept") == [(60.0, True)]
    assert prefect.keep_schedules("kept", [])
    assert schedules_of(prefect_url, "kept") == []
    assert prefect.keep_schedules("kept", wanted)
    assert schedules_of(prefect_url, "kept") == [(60.0, True)]


@pytest.mark.slow
def test_a_schedule_that_people_paused_stays_paused(prefect: PrefectTrigger, prefect_url: str) -> None:
    deployment_id = register(prefect_url, "paused")
    paused = {"schedules": [{"schedule": {"interval": 300.0, "anchor_date": ANCHOR}, "active": False}]}
    sent("PATCH", f"{prefect_url}/deployments/{deployment_id}", paused)
    assert prefect.keep_schedules("paused", [WANTED])
    assert schedules_of(prefect_url, "paused") == [(60.0, False)]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_paused_schedule_stays_paused_where_a_change_fails_half_way(
    prefect: PrefectTrigger, prefect_url: str, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    name = f"half-{method}"
    deployment_id, ask = register(prefect_url, name), prefect._ask
    paused = {"slug": "by-hand", "schedule": {"interval": 300.0, "anchor_date": ANCHOR}, "active": False}
    sent("PATCH", f"{prefect_url}/deployments/{deployment_id}", {"schedules": [paused]})

    def failing(asked: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        return httpx.Response(500) if asked == method else ask(asked, path, body)

    with monkeypatch.context() as away:
        away.setattr(prefect, "_ask", failing)
        with pytest.raises(ForeactError, match="500"):
            prefect.keep_schedules(name, [WANTED])
    assert {is_active for _, is_active in schedules_of(prefect_url, name)} == {False}
    assert prefect.keep_schedules(name, [WANTED])
    assert schedules_of(prefect_url, name) == [(60.0, False)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("whose", "tags", "missed", "cut_off"),
    [
        ("loop", ("foreact", "loop"), ("COMPLETED", "Missed"), ("COMPLETED", "Stopped")),
        ("upkeep", ("foreact", "upkeep"), ("COMPLETED", "Missed"), ("COMPLETED", "Stopped")),
        ("users", (), ("CANCELLED", "Cancelled"), ("CANCELLED", "Cancelled")),
    ],
)
async def test_missed_and_cut_off_runs_count_as_completed_where_a_later_one_does_their_work_else_as_cancelled(
    prefect_url: str, whose: str, tags: tuple[str, ...], missed: tuple[str, str], cut_off: tuple[str, str]
) -> None:
    pool = f"on-hold-{whose}"
    deployment_id = register(prefect_url, f"missed-{whose}", pool, tags)
    due = [f"2026-03-02T12:0{minute}:00Z" for minute in range(4)]
    ids = [
        post(f"{prefect_url}/deployments/{deployment_id}/create_flow_run", {"state": scheduled(at)})["id"] for at in due
    ]
    for run, state in ((ids[0], "RUNNING"), (ids[1], "CANCELLING")):
        moved = {"state": {"type": state}, "force": True}
        httpx.post(f"{prefect_url}/flow_runs/{run}/set_state", json=moved).raise_for_status()
    server = PrefectRest(prefect_url, pool=pool)
    assert await end_missed(server, utc_now()) == 1
    await end_left(server, await server.unfinished())
    await server.close()
    *ended, newest = (flow_run(prefect_url, run)["state"] for run in ids)
    assert [(state["type"], state["name"]) for state in ended] == [cut_off, ("CANCELLED", "Cancelled"), missed]
    assert newest["type"] == "SCHEDULED"


ONE_AT_A_TIME = {"concurrency_limit": 1, "concurrency_options": {"collision_strategy": "ENQUEUE"}}


def proposed(url: str, run: str, state: str) -> tuple[str, str]:
    """Ask for a state, as a worker or a person does; return type and name of the one that Prefect gives the run."""
    post(f"{url}/flow_runs/{run}/set_state", {"state": {"type": state}})
    return state_of(url, run)


def state_of(url: str, run: str) -> tuple[str, str]:
    found = flow_run(url, run)["state"]
    return found["type"], found["name"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("whose", "tags", "becomes"),
    [
        ("loop", ("foreact", "loop"), ("COMPLETED", "Skipped")),
        ("users", ("foreact",), ("SCHEDULED", "AwaitingConcurrencySlot")),
    ],
)
async def test_a_run_that_is_due_while_another_one_runs_is_skipped_at_once_if_it_is_the_loops(
    prefect_url: str, whose: str, tags: tuple[str, ...], becomes: tuple[str, str]
) -> None:
    deployment_id = register(prefect_url, f"one-{whose}", f"one-at-a-time-{whose}", tags, **ONE_AT_A_TIME)
    create = f"{prefect_url}/deployments/{deployment_id}/create_flow_run"
    running, other, next_one, by_hand = (post(create, {})["id"] for _ in range(4))
    assert proposed(prefect_url, running, "PENDING")[0] == "PENDING"
    since = utc_now()
    assert proposed(prefect_url, other, "PENDING") == becomes
    assert (flow_run(prefect_url, other)["state"]["message"] == SKIPPED) is (whose == "loop")
    assert proposed(prefect_url, by_hand, "CANCELLED") == ("CANCELLED", "Cancelled")
    server = PrefectRest(prefect_url, pool=f"one-at-a-time-{whose}")
    assert await server.ended(deployment_id, since) == set(), "a run that was skipped is no cycle that was finished"
    await server.close()
    assert proposed(prefect_url, next_one, "PENDING") == becomes, "the one under way still holds its place"
    httpx.post(f"{prefect_url}/flow_runs/{running}/set_state", json={"state": {"type": "COMPLETED"}, "force": True})
    assert proposed(prefect_url, post(create, {})["id"], "PENDING")[0] == "PENDING", "what was skipped holds no place"


@pytest.mark.slow
def test_a_turn_that_waits_on_another_prefect_server_is_skipped_and_what_others_deployed_waits_on(
    prefect: PrefectTrigger, prefect_url: str
) -> None:
    """The server of this test skips turns of the loop itself, so the runs get their tags once they wait."""
    deployment_id = register(prefect_url, "elsewhere", "elsewhere", ("foreact",), **ONE_AT_A_TIME)
    create = f"{prefect_url}/deployments/{deployment_id}/create_flow_run"
    running, turn, other = (post(create, {})["id"] for _ in range(3))
    assert proposed(prefect_url, running, "PENDING")[0] == "PENDING"
    waits = ("SCHEDULED", "AwaitingConcurrencySlot")
    assert [proposed(prefect_url, run, "PENDING") for run in (turn, other)] == [waits, waits]
    for run in (running, turn):
        sent("PATCH", f"{prefect_url}/flow_runs/{run}", {"tags": ["foreact", "loop", "deployment"]})
    prefect.skip_waiting()
    skipped = [state_of(prefect_url, run) for run in (running, turn, other)]
    assert skipped == [("PENDING", "Pending"), ("COMPLETED", "Skipped"), waits]
    assert flow_run(prefect_url, turn)["state"]["message"] == SKIPPED
    sent("POST", f"{prefect_url}/flow_runs/{running}/set_state", {"state": {"type": "COMPLETED"}, "force": True})
    assert prefect.running("elsewhere") is None, "one that waits for another run holds no place"


def scheduled(at: str) -> dict[str, Any]:
    return {"type": "SCHEDULED", "state_details": {"scheduled_time": at}}


def code_of_prefect(prefect_url: str) -> Any:
    """Run the command of Prefect in this process, where everything is imported, which is most of what it takes.

    It leaves sockets to the garbage collector while it runs.
    """
    with warnings.catch_warnings(), temporary_settings({PREFECT_API_URL: prefect_url}):
        warnings.simplefilter("ignore", ResourceWarning)
        with pytest.raises(SystemExit) as ended:
            prefect_command()
    return ended.value.code


@pytest.mark.slow
def test_prefect_deploys_the_same_four_to_a_docker_pool_as_their_file_has_them(
    prefect_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = {"name": "foreact-docker", "type": "docker", "base_job_template": docker_template()}
    post(f"{prefect_url}/work_pools/", pool)
    monkeypatch.chdir(PROJECT)
    monkeypatch.setattr(sys, "argv", ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", IN_DOCKER.name])
    assert code_of_prefect(prefect_url) == 0
    forget_clients()
    in_pool = {"work_pools": {"name": {"any_": ["foreact-docker"]}}}
    found = httpx.post(f"{prefect_url}/deployments/filter", json=in_pool, timeout=60).raise_for_status().json()
    deployed = {each["name"]: each for each in found}
    assert deployed.keys() == rows(IN_DOCKER).keys() == {"cycle", "tend", "upkeep", "backtest"}
    for name, row in rows(IN_DOCKER).items():
        each = deployed[name]
        assert [one["slug"] for one in each["schedules"]] == [one["slug"] for one in row["schedules"]]
        assert (each["entrypoint"], each["tags"]) == (row["entrypoint"], row["tags"])
        assert (each["parameters"], each["job_variables"]) == ({}, row["work_pool"]["job_variables"])
        limit = row.get("concurrency_limit", {})
        assert (each["global_concurrency_limit"] or {}).get("limit") == limit.get("limit")
        assert each["enforce_parameter_schema"]
    assert deployed["backtest"]["parameter_openapi_schema"]["properties"].keys() > {"days"}


@pytest.mark.slow
async def test_an_option_is_what_its_block_holds(prefect_url: str) -> None:
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        await Secret(value="hunter2-s3cr3t").asave("db")
    blocks = PrefectBlocks(prefect_url)
    assert blocks.resolved({"password": {"block": "secret/db"}}) == {"password": "hunter2-s3cr3t"}
    with pytest.raises(ForeactError, match=r"The block secret/none is not there .* page Blocks"):
        blocks.resolved({"password": {"block": "secret/none"}})
