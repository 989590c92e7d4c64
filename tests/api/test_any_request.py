"""Whatever is sent to any address: no error of ours, no status that is not documented, every refusal a problem.

`make requests` sends 10,000; with the other tests each address gets a few.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, reject
from hypothesis import settings as examples
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS

from api.app import create_app
from settings import SamplerSettings, ServerSettings, load_settings
from storage import open_store
from tests.api import worlds
from tests.api.conftest import API, BASE, REQUESTS_SENT, RecordingTrigger, TestClient
from tests.api.test_error_responses import assert_is_problem

TICK = datetime(2026, 3, 2, 12, tzinfo=UTC)
OPERATIONS = [
    each.ok()
    for each in schemathesis.openapi.from_dict(create_app(load_settings(Path())).openapi()).get_all_operations()
]
VARIED = [each for each in OPERATIONS if "requestBody" in each.definition.raw or each.definition.raw.get("parameters")]
"""The rest can be asked in one way alone."""
WANTED = int(os.environ.get("FOREACT_TEST_REQUESTS", "0"))
CASES = max(4, WANTED // len(VARIED) + 1)
LONGEST_S = 90.0 if not WANTED else 600.0
"""So long one address is asked at most, for a machine that stands still; what was not sent by then is told."""
THERE = {"goal_id": "goal-1", "action_id": "action-1", "cycle_id": "cycle-1", "name": "evil", "outcome_id": "outcome-1"}
UNAVAILABLE = frozenset({"prefect_unreachable", "not_ready", "temporarily_unavailable", "disk_full"})
"""What a server that is well may answer with 503 or 507; any other 5xx is an error of ours."""
BESIDES = {path: frozenset({"error"}) for path in ("/write", "/api/v2/write")}
"""What senders of the line protocol read of a refusal."""

CONFORMS = [
    CHECKS.get_one(name)
    for name in ("status_code_conformance", "content_type_conformance", "response_schema_conformance")
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Give a facade over a database in which cycles have run, goals were met and an act was judged."""
    folder, quick = tmp_path_factory.mktemp("any"), ServerSettings(max_requests_per_second=1e6)
    settings = load_settings(folder, home=folder, sampler=SamplerSettings(enabled=False), server=quick)
    with open_store(clock=lambda: TICK) as store:
        worlds.samples(store, TICK)
        worlds.a_turn(store, TICK)
        worlds.a_history(store, TICK)
        app = create_app(settings, store=store, trigger=RecordingTrigger(), clock=lambda: TICK)
        with TestClient(app, base_url=BASE, raise_server_exceptions=False) as opened:
            yield opened


@schemathesis.serializer("application/x-protobuf")
def any_bytes(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """Send as a protobuf message whatever was drawn."""
    return value if isinstance(value, bytes) else str(value).encode()


def sent(server: TestClient, case: Case) -> Any:
    """Send a case, and its headers as far as HTTP can carry them."""
    asked = case.as_transport_kwargs(base_url=BASE)
    headers = {name: str(text).encode("latin-1", "replace") for name, text in (asked.get("headers") or {}).items()}
    body = {"json": asked["json"]} if "json" in asked else {"content": asked.get("data") or b""}
    if not isinstance(body.get("content", b""), bytes | str):
        body = {"content": json.dumps(body["content"], default=str)}
    return server.request(asked["method"], asked["url"], params=asked.get("params"), headers=headers, **body)


SENT: dict[str, int] = {}


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.label)
def test_any_request_is_answered_as_documented(
    server: TestClient, operation: Any, record_property: Callable[[str, object], None]
) -> None:
    documented = {int(status) for status in operation.definition.raw["responses"] if status != "default"}

    wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    ends_s = time.monotonic() + LONGEST_S

    @examples(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.one_of(operation.as_strategy(), wrong), st.booleans())
    def ask(case: Case, is_of_something_there: bool) -> None:
        if time.monotonic() > ends_s:
            return
        SENT[operation.label] = SENT.get(operation.label, 0) + 1
        if is_of_something_there:
            there = {name: THERE[name] for name in case.path_parameters or {} if name in THERE}
            case.path_parameters = {**(case.path_parameters or {}), **there}
        try:
            answer = sent(server, case)
        except httpx2.InvalidURL:
            reject()  # longer than this client can send
        assert answer.status_code in documented, answer.text
        assert answer.status_code < 500 or answer.json()["code"] in UNAVAILABLE
        if answer.status_code >= 400 and case.method != "HEAD":
            assert_is_problem(answer, answer.status_code, BESIDES.get(operation.path, frozenset()))
        else:
            case.validate_response(answer, checks=CONFORMS)

    ask()
    record_property(REQUESTS_SENT, SENT[operation.label])


@pytest.mark.parametrize(
    "body", [b"\xff", b"[" * 100_000, b'{"a":' * 50_000, b"1e999999", b'"\\ud800"', b"\x00", b"nul"]
)
def test_a_body_that_no_generator_thinks_of_is_refused(server: TestClient, body: bytes) -> None:
    for operation in OPERATIONS:
        if "requestBody" in operation.definition.raw:
            path = f"{operation.path}".format(**THERE)
            answer = server.request(operation.method, path, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code in (400, 415, 422), (path, answer.text)
            assert_is_problem(answer, answer.status_code)


def test_text_that_no_store_holds_is_refused_not_lost(server: TestClient) -> None:
    for text in ("\x00", "\ud800", "a" * 3_000):
        body = json.dumps({"by": text, "note": text})
        headers = {"Content-Type": "application/json"}
        answer = server.post(f"{API}/actions/action-1/reject", content=body, headers=headers)
        assert answer.status_code < 500, answer.text
