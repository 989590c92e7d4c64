"""Alerts and CloudEvents become events, each once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from storage import Store
from storage.records import Event
from tests.api.conftest import API

ALERTS, CLOUD = f"{API}/events/alertmanager", f"{API}/events/cloudevents"


def events(store: Store, tick: datetime) -> list[Event]:
    return store.events.between(tick - timedelta(days=30), tick + timedelta(minutes=5))


def group(*alerts: dict[str, Any]) -> dict[str, Any]:
    return {"version": "4", "receiver": "foreact", "status": "firing", "groupKey": "{}", "alerts": list(alerts)}


def alert(tick: datetime, status: str = "firing", **changes: Any) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": "DiskFull", "mount": "/", "path": "/{id}"},
        "annotations": {"summary": 'the "disk" fills'},
        "startsAt": (tick - timedelta(hours=1)).isoformat(),
        "endsAt": tick.isoformat() if status == "resolved" else "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "abc",
        **changes,
    }


def test_an_alert_is_an_event_when_it_begins_and_when_it_is_over(
    client: TestClient, store: Store, tick: datetime
) -> None:
    for body in (group(alert(tick)), group(alert(tick)), group(alert(tick, "resolved"))):
        assert client.post(ALERTS, json=body).status_code == 200
    over, begun = events(store, tick)
    assert (begun.event_type, begun.ts) == ("alert_firing:DiskFull", tick - timedelta(hours=1))
    assert (over.event_type, over.ts) == ("alert_resolved:DiskFull", tick)
    assert begun.labels == {"mount": "/", "path": "/(id)"}
    assert begun.metadata["annotations"] == {"summary": 'the "disk" fills'}


def test_an_alert_that_began_before_anything_is_kept_is_left_out(
    client: TestClient, store: Store, tick: datetime
) -> None:
    body = group(alert(tick), alert(tick, startsAt="2020-01-01T00:00:00Z"))
    assert client.post(ALERTS, json=body).json() == {"recorded": 1}
    assert len(events(store, tick)) == 1


def test_an_alert_keeps_what_no_name_can_hold_as_blanks(client: TestClient, store: Store, tick: datetime) -> None:
    labels = {"alertname": "Disk\u200bFull", "an\u00a0id": "a\U000be89eb", "line": "1\n2"}
    assert client.post(ALERTS, json=group(alert(tick, labels=labels))).status_code == 200
    (begun,) = events(store, tick)
    assert begun.event_type == "alert_firing:Disk Full"
    assert begun.labels == {"an id": "a b", "line": "1 2"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": "pending"}, "alerts.0.status"),
        ({"startsAt": "yesterday"}, "alerts.0.startsAt"),
        ({"labels": {"alertname": "x" * 300}}, "longer than 200"),
        ({"startsAt": "2031-01-01T00:00:00Z"}, "in the future"),
    ],
)
def test_an_alert_that_cannot_be_read_is_refused_by_name(
    client: TestClient, store: Store, tick: datetime, change: dict[str, Any], said: str
) -> None:
    answer = client.post(ALERTS, json=group(alert(tick, **change)))
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert said in answer.json()["detail"]
    assert events(store, tick) == []


def cloud_event(tick: datetime, **changes: Any) -> dict[str, Any]:
    told = {"specversion": "1.0", "id": "1", "source": "/ci", "type": "org.deploy", "time": tick.isoformat()}
    return {**told, "subject": "users", "traceparent": "00-1", "data": {"version": 3}, **changes}


EXPECTED = {"id": "1", "traceparent": "00-1", "data": {"version": 3}}


def test_a_cloudevent_is_recorded_in_every_mode(client: TestClient, store: Store, tick: datetime) -> None:
    told = cloud_event(tick)
    headers = {f"ce-{name}": text for name, text in told.items() if name != "data"}
    envelope, batch = (f"application/cloudevents{kind}+json" for kind in ("", "-batch"))
    answers = [
        client.post(CLOUD, json=told, headers={"Content-Type": envelope}),
        client.post(CLOUD, json=[told, told], headers={"Content-Type": f"{batch}; charset=utf-8"}),
        client.post(CLOUD, json=told["data"], headers=headers),
    ]
    assert [answer.status_code for answer in answers] == [200] * 3
    (event,) = events(store, tick)
    assert (event.event_type, event.ts) == ("org.deploy", tick)
    assert event.labels == {"source": "/ci", "subject": "users"}
    assert event.metadata == EXPECTED


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 422, "specversion"),
        ({"specversion": "0.3", "id": "1", "source": "/", "type": "a"}, 422, "specversion"),
        ({"specversion": "1.0", "id": "", "source": "/", "type": "a"}, 422, "id"),
        ([], 422, "object"),
    ],
)
def test_what_is_no_cloudevent_is_refused(
    client: TestClient, store: Store, tick: datetime, body: Any, status: int, said: str
) -> None:
    answer = client.post(CLOUD, json=body, headers={"Content-Type": "application/cloudevents+json"})
    assert (answer.status_code, answer.json()["code"]) == (status, "event_invalid")
    assert said in answer.json()["detail"]
    assert events(store, tick) == []


def test_json_without_the_attributes_of_an_event_is_refused(client: TestClient) -> None:
    answer = client.post(CLOUD, json={"a": 1})
    assert (answer.status_code, answer.json()["code"]) == (422, "event_invalid")
    assert "ce-type" in answer.json()["detail"]
    cut = client.post(CLOUD, content="{", headers={"Content-Type": "application/cloudevents+json"})
    assert (cut.status_code, cut.json()["code"]) == (400, "json_invalid")
