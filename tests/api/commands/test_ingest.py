"""What is sent in is durable when it is answered, or refused as a whole with a reason."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from storage import Store
from tests import sized
from tests.api.conftest import API

METRICS, EVENTS = f"{API}/metrics", f"{API}/events"


def test_the_documented_metric_body_is_recorded(client: TestClient, store: Store, tick: datetime) -> None:
    answer = client.post(METRICS, json={"metric_name": "cpu_usage", "value": 75.5})
    assert (answer.status_code, answer.json()) == (201, {"recorded": 1})
    assert store.samples.latest(tick - timedelta(minutes=1)) == {"cpu_usage": (tick, 75.5)}


def test_the_documented_event_body_is_recorded(client: TestClient, store: Store, tick: datetime) -> None:
    answer = client.post(EVENTS, json={"event_type": "user_login", "metadata": {"user_id": "123"}})
    assert answer.status_code == 201
    (event,) = store.events.between(tick - timedelta(minutes=1), tick)
    assert (event.event_type, event.metadata) == ("user_login", {"user_id": "123"})


def test_a_list_keeps_times_labels_and_units(client: TestClient, store: Store, tick: datetime) -> None:
    earlier = tick - timedelta(hours=1)
    body = [
        {"metric_name": "latency", "value": 150, "timestamp": earlier.isoformat(), "labels": {"path": "/"}},
        {"metric_name": "latency", "value": 2e300, "timestamp": earlier.timestamp(), "unit": "ms"},
        {"metric_name": "latency", "value": -1, "timestamp": "2026-03-02T11:00:00", "labels": {"path": "/users"}},
    ]
    assert client.post(METRICS, json=body).json() == {"recorded": 3}
    latest = store.samples.latest(tick - timedelta(hours=2))
    assert latest['latency{path="/"}'] == (earlier, 150)
    assert latest["latency"] == (earlier, 2e300)
    assert latest['latency{path="/users"}'][0] == earlier, "a time without a zone is UTC"
    assert {info.unit for info in store.samples.known() if info.series == "latency"} == {"ms"}


def test_a_long_list_is_recorded_whole(client: TestClient, store: Store, tick: datetime) -> None:
    moments = [(tick - timedelta(seconds=i)).isoformat() for i in range(1_000)]
    body = [{"metric_name": "m", "value": i, "timestamp": moment} for i, moment in enumerate(moments)]
    assert client.post(METRICS, json=body).json() == {"recorded": 1_000}
    (span,) = store.samples.spans(tick - timedelta(hours=1), tick)
    assert span.count == 1_000


BAD_METRICS = [
    ('{"metric_name": "m", "value": NaN}', 422, "finite"),
    ('{"metric_name": "m", "value": Infinity}', 422, "finite"),
    ('{"metric_name": "m", "value": 1e999}', 422, "finite"),
    ('{"metric_name": "m", "value": null}', 422, "value"),
    ('{"metric_name": "m", "value": "5"}', 422, "value"),
    ('{"metric_name": "m", "value": true}', 422, "value"),
    ('{"metric_name": "m"}', 422, "value"),
    ('{"metric_name": "", "value": 1}', 422, "metric_name"),
    ('{"metric_name": "   ", "value": 1}', 422, "metric_name"),
    ('{"metric_name": "a{b", "value": 1}', 422, "metric_name"),
    ('{"metric_name": "a\\u0000b", "value": 1}', 422, "metric_name"),
    (json.dumps({"metric_name": "m" * 201, "value": 1}), 422, "metric_name"),
    (json.dumps({"metric_name": "m", "value": 1, "labels": {str(i): "x" for i in range(201)}}), 422, "201 labels"),
    (json.dumps({"metric_name": "m", "value": 1, "labels": {"a": 'x",b="y'}}), 422, "labels.a"),
    ('{"metric_name": "m", "value": 1, "timestamp": "2025-11-01T00:00:00Z"}', 422, "past"),
    ('{"metric_name": "m", "value": 1, "timestamp": "2026-03-02T12:05:01Z"}', 422, "future"),
    ('{"metric_name": "m", "value": 1, "timestamp": "0001-01-01T00:00:00+14:00"}', 422, "timestamp"),
    ('{"metric_name": "m", "value": 1, "timestamp": "yesterday"}', 422, "timestamp"),
    ('{"metric_name": "m", "value": 1, "typo": 2}', 422, "typo"),
    ('{"metric_name": "m", "value": ', 400, "JSON"),
    ('{"metric_name": "m", "value": 1}, {"metric_name": "m", "value": 1}', 400, "JSON"),
    ("", 400, "JSON"),
    ("5", 422, "object"),
    ("[" * 500, 400, "JSON"),
]


@pytest.mark.parametrize(("body", "status", "said"), BAD_METRICS)
def test_a_bad_metric_is_refused_with_its_reason(
    client: TestClient, store: Store, body: str, status: int, said: str
) -> None:
    answer = client.post(METRICS, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert said in answer.json()["detail"]
    assert answer.json()["remedy"]
    assert store.samples.known() == []


def test_one_bad_item_keeps_a_whole_list_out_and_is_named(client: TestClient, store: Store) -> None:
    body = [{"metric_name": "m", "value": 1}, {"metric_name": "m", "value": 2}, {"metric_name": "m", "value": None}]
    answer = client.post(METRICS, json=body)
    assert answer.json()["detail"].startswith("item 2: value")
    late = [body[0], {"metric_name": "m", "value": 1, "timestamp": "1999-01-01T00:00:00Z"}]
    assert client.post(METRICS, json=late).json()["detail"].startswith("item 1: timestamp")
    assert store.samples.known() == []


@pytest.mark.parametrize(
    "body",
    [
        '{"event_type": "", "metadata": {}}',
        '{"event_type": "e", "metadata": {"deep": [{"a": NaN}]}}',
        '{"event_type": "e", "metadata": [1]}',
        '{"event_type": "e", "timestamp": "2031-01-01T00:00:00Z"}',
    ],
)
def test_a_bad_event_is_refused(client: TestClient, store: Store, tick: datetime, body: str) -> None:
    answer = client.post(EVENTS, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert store.events.between(tick - timedelta(days=1), tick) == []


def test_metadata_may_hold_any_text(client: TestClient, store: Store, tick: datetime) -> None:
    metadata = {"quote": 'it\'s "it"; DROP TABLE events', "nul": "a\x00b", "emoji": "😀", "deep": {"list": [1, None]}}
    assert client.post(EVENTS, json={"event_type": "e", "metadata": metadata}).status_code == 201
    assert store.events.between(tick - timedelta(minutes=1), tick)[0].metadata == metadata


def test_a_body_that_is_too_large_is_refused_before_it_is_read(client: TestClient, store: Store) -> None:

    declared = client.post(METRICS, content=b"[" * 5_000_001, headers={"Content-Type": "application/json"})
    assert (declared.status_code, declared.json()["code"]) == (413, "body_too_large")
    assert store.samples.known() == []


def test_a_body_of_another_type_is_refused(client: TestClient) -> None:
    answer = client.post(METRICS, data={"metric_name": "m", "value": "1"})
    assert (answer.status_code, answer.json()["code"]) == (415, "not_json")


@hypothesis_settings(
    max_examples=sized(30, 60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.binary(max_size=200))
def test_no_bytes_whatever_bring_the_server_down(client: TestClient, body: bytes) -> None:
    for path in (METRICS, EVENTS, f"{API}/mode"):
        answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code < 500
