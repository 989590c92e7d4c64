"""Objectives can be set and removed by hand, and only sound ones come into force."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from storage import Store
from tests.api.conftest import API

PATH = f"{API}/objectives"
LATENCY = {"metric": "latency", "bound": 200, "severity": 0.6, "horizon_s": 1800}


def origins(client: TestClient) -> dict[str, str]:
    return {each["objective"]["name"]: each["origin"] for each in client.get(PATH).json()["objectives"]}


def test_the_defaults_are_in_force(client: TestClient) -> None:
    assert origins(client)["cpu-not-saturated"] == "default"


def test_an_objective_set_by_hand_comes_into_force(client: TestClient, store: Store) -> None:
    answer = client.put(f"{PATH}/fast-answers", params={"by": "ada"}, json=LATENCY)
    assert answer.json()["objective"]["horizon_s"] == 1800
    assert origins(client)["fast-answers"] == "by hand"
    (entry,) = store.audit.latest()
    assert (entry.actor, entry.verb, entry.subject) == ("ada", "set objective", "fast-answers")


def test_a_default_can_be_replaced_and_removed(client: TestClient) -> None:
    client.put(f"{PATH}/cpu-not-saturated", json={"metric": "cpu_used_ratio", "bound": 0.5})
    assert origins(client)["cpu-not-saturated"] == "by hand"
    assert client.delete(f"{PATH}/cpu-not-saturated").status_code == 204
    assert "cpu-not-saturated" not in origins(client)
    assert client.delete(f"{PATH}/cpu-not-saturated").status_code == 404


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"severity": 2}, "severity"),
        ({"metric": ""}, "metric"),
        ({"bound": None}, "bound"),
        ({"side": "left"}, "side"),
        ({"horizon_s": -1}, "horizon_s"),
        ({"driver": "requests"}, "driver and capacity"),
        ({"bond": 1}, "bond"),
        ({"parent": "nobody"}, "nobody"),
        ({"parent": "fast-answers"}, "each other's parents"),
    ],
)
def test_an_unsound_objective_is_refused(client: TestClient, change: dict[str, Any], said: str) -> None:
    answer = client.put(f"{PATH}/fast-answers", json=LATENCY | change)
    assert answer.status_code in (400, 422)
    assert said in answer.json()["detail"]
    assert "fast-answers" not in origins(client)


def test_a_name_that_cannot_be_one_is_refused(client: TestClient) -> None:
    assert client.put(f"{PATH}/Fast Answers", json=LATENCY).status_code == 422


def test_contradictions_are_said(client: TestClient) -> None:
    client.put(f"{PATH}/low", json={"metric": "queue", "bound": 10})
    answer = client.put(f"{PATH}/high", json={"metric": "queue", "side": "above", "bound": 20})
    assert len(answer.json()["warnings"]) == 1
    assert len(client.get(PATH).json()["contradictions"]) == 1
