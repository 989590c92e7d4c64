"""Deployments are started over Prefect's own REST interface, once per key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.prefect_client import PrefectTrigger
from storage import ForeactError
from tests.conftest import free_port


def register(url: str, name: str) -> str:
    flow = post(f"{url}/flows/", {"name": name})["id"]
    schema = {"type": "object", "properties": {"reason": {"type": "string", "default": "schedule"}}}
    body = {"name": name, "flow_id": flow, "parameter_openapi_schema": schema, "enforce_parameter_schema": True}
    return str(post(f"{url}/deployments/", body)["id"])


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """Post, again while a server that has just started holds its own database."""
    for _ in range(20):
        answer = httpx.post(url, json=body)
        if answer.status_code != 503:
            return dict(answer.raise_for_status().json())
        time.sleep(0.5)
    raise AssertionError(answer.text)


def flow_run(url: str, flow_run_id: str) -> dict[str, Any]:
    return dict(httpx.get(f"{url}/flow_runs/{flow_run_id}").raise_for_status().json())


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
