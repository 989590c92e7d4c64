"""Any Prefect deployment as an action, on a real Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from api.prefect_client import deployed_actions
from handlers import discover_actions
from handlers.actions.run_deployment import action_of
from handlers.sandbox.parent import call
from storage.records import ReceiptStatus
from tests.handlers.conftest import context_for, make_goal

RUN = discover_actions()["run_deployment"]


def test_a_deployment_that_is_not_allowed_is_refused() -> None:
    result = RUN.run({"deployment": "scale/production"}, context_for(options={"deployments": ["scale/test*"]}))
    assert not result.success
    assert "not allowed" in result.detail


def test_the_deployment_for_the_goals_type_is_proposed_before_the_default() -> None:
    options = {"deployment": "any/default", "for_goal_types": {"BOTTLENECK_PREVENTION": "scale/out"}}
    proposed = RUN.propose(make_goal(), context_for(options=options))
    assert [candidate.params["deployment"] for candidate in proposed] == ["scale/out"]
    assert RUN.run(proposed[0].params, context_for(options=options, dry_run=True)).success


def test_a_run_is_given_the_amount_that_was_planned() -> None:
    options = {"deployment": "scale/out", "amount_parameter": "replicas"}
    result = RUN.run({"deployment": "scale/out", "amount": 4.0}, context_for(options=options, dry_run=True))
    assert result.detail == "Dry run: would start a run of scale/out with replicas 4."


@pytest.fixture
def reachable(prefect_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let Prefect's clients, of this process and of those it starts, find a server with a deployment greet/test."""
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    @flow
    def greet(name: str = "you") -> str:
        return name

    monkeypatch.setenv("PREFECT_API_URL", prefect_url)
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        with get_client(sync_client=True) as client:
            client.create_deployment(flow_id=client.create_flow(greet), name="test", enforce_parameter_schema=False)
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("reachable")
@pytest.mark.timeout(180)
def test_the_same_action_starts_one_run_however_often_it_is_called() -> None:
    params = {"deployment": "greet/test", "parameters": {"name": "Ada"}, "amount": 3.0}
    context = context_for(options={"deployments": ["greet/*"]})
    assert call(RUN, "check", params, {}, context, 60).status is ReceiptStatus.SKIPPED
    results = [call(RUN, "run", params, None, context, 60) for _ in range(2)]
    assert [result.status for result in results] == [ReceiptStatus.SUCCEEDED] * 2, results[0].detail
    first, second = (result.evidence["flow_run_id"] for result in results)
    assert first == second
    assert call(RUN, "check", params, {}, context, 60).status is ReceiptStatus.SUCCEEDED
    assert flow_runs() == [{"name": "Ada", "amount": 3}]


@pytest.mark.slow
@pytest.mark.usefixtures("reachable")
def test_a_deployment_that_does_not_exist_is_a_plain_failure() -> None:
    result = call(RUN, "run", {"deployment": "no/such"}, None, context_for(options={"deployments": ["*"]}), 60)
    assert result.status is ReceiptStatus.FAILED
    assert "There is no deployment no/such" in result.detail


@pytest.mark.slow
def test_a_server_that_is_away_is_a_failure_and_leaves_a_check_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("PREFECT_CLIENT_MAX_RETRIES", "0")
    params, context = {"deployment": "greet/test"}, context_for(options={"deployments": ["greet/*"]})
    assert call(RUN, "run", params, None, context, 60).status is ReceiptStatus.FAILED
    assert call(RUN, "check", params, {}, context, 60).status is ReceiptStatus.UNKNOWN


def flow_runs() -> list[dict[str, Any]]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return [run.parameters for run in client.read_flow_runs()]


SCHEMA = {
    "title": "Parameters",
    "type": "object",
    "properties": {
        "replicas": {"type": "integer", "title": "replicas", "minimum": 1, "maximum": 9},
        "zone": {"type": "string", "default": "eu"},
    },
    "required": ["replicas"],
}


def test_a_deployment_that_needs_a_parameter_is_proposed_only_with_it() -> None:
    out = action_of("scale/out", "Scale out.", SCHEMA)
    assert (out.name, out.summary, out.level, out.reversible) == ("out", "Scale out.", "approve", False)
    assert out.parameter_schema["properties"]["replicas"]["maximum"] == 9
    assert out.propose(make_goal(), context_for()) == []
    (offer,) = out.propose(make_goal(), context_for(options={"parameters": {"replicas": 3}}))
    assert (offer.action, offer.params, offer.target) == ("out", {"replicas": 3}, "deployment:scale/out")
    (planned,) = out.propose(make_goal(), context_for(options={"amount_parameter": "replicas"}))
    assert planned.params == {}
    rehearsed = out.run({"amount": 4.0}, context_for(options={"amount_parameter": "replicas"}, dry_run=True))
    assert rehearsed.detail == "Dry run: would start a run of scale/out with replicas 4."


NO_SCHEMAS: tuple[dict[str, Any], ...] = (
    {"properties": [1, 2]},
    {"properties": {"zone": None}},
    {"properties": {"zone": {"type": "strange"}}},
    {"properties": {"zone": {"pattern": "("}}},
    {"required": "zone"},
)


@pytest.mark.parametrize("schema", NO_SCHEMAS, ids=str)
def test_a_schema_that_is_none_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^\$.* of the schema of its parameters: "):
        action_of("scale/out", "", schema)


def test_a_parameter_that_may_be_anything_has_a_form_and_one_that_may_be_nothing_is_none() -> None:
    out = action_of("scale/out", "", {"properties": {"zone": True, "never": False}, "required": ["zone"]})
    assert out.parameter_schema["properties"] == {"zone": {}}
    assert out.propose(make_goal(), context_for()) == []


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_tagged_deployment_is_an_action_with_its_parameters(
    prefect_url: str, reachable: None, caplog: pytest.LogCaptureFixture
) -> None:
    import httpx

    def post(path: str, body: dict[str, Any]) -> str:
        # A server on SQLite answers 503 while another writer holds its database.
        answers = (httpx.post(f"{prefect_url}{path}", json=body, timeout=60) for _ in range(20))
        return str(next(answer.json()["id"] for answer in answers if answer.status_code != 503))

    body = {"flow_id": post("/flows/", {"name": "scale"}), "parameter_openapi_schema": SCHEMA}
    for name, tags in (("out", ["foreact-action"]), ("notify", ["foreact-action"]), ("in", [])):
        post("/deployments/", {"name": name, "tags": tags, "enforce_parameter_schema": True, **body})
    bad = {**body, "name": "bad", "tags": ["foreact-action"], "parameter_openapi_schema": {"required": "zone"}}
    post("/deployments/", bad)
    found = deployed_actions(prefect_url, {"notify"})
    assert set(found) == {"out", "scale/notify"}
    assert "scale/bad, tagged foreact-action, is left out: $.required of the schema" in caplog.text
    result = call(found["out"], "run", {"replicas": 3}, None, context_for(), 100)
    assert result.succeeded, result.detail
    assert {"replicas": 3} in flow_runs()
    refused = call(found["out"], "run", {"replicas": 30}, None, context_for(action_id="another"), 100)
    assert refused.status is ReceiptStatus.FAILED
    assert "Prefect does not start scale/out" in refused.detail


def test_a_server_that_is_away_has_no_tagged_deployments() -> None:
    assert deployed_actions("http://127.0.0.1:9/api") == {}
