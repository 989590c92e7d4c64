"""Objectives can be set and removed by hand, and only sound ones come into force."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import queries
from api.facade import Facade
from settings import load_settings
from storage import Store, open_store
from tasks.objectives.in_force import objectives_in_force
from tests.api.conftest import API, RecordingTrigger

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
    assert (entry.actor, entry.verb, entry.subject) == ("local (ada)", "set objective", "fast-answers")


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


IN_FILE = '[[objectives]]\nname = "in-file"\nmetric = "latency"\nbound = {bound}\n'


def test_an_objective_written_into_the_file_is_in_force_without_a_restart(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "foreact.toml").write_text(IN_FILE.format(bound=200))
    assert origins(client)["in-file"] == "file"
    assert client.put(f"{PATH}/part", json=LATENCY | {"parent": "in-file"}).status_code == 200
    (tmp_path / "foreact.toml").unlink()
    assert "in-file" not in origins(client)
    assert "names the parent 'in-file'" in client.get(PATH).json()["trouble"][0]


def test_what_is_wrong_with_another_tree_of_the_file_refuses_nothing_set_by_hand(
    client: TestClient, tmp_path: Path
) -> None:
    ring = "".join(
        f'[[objectives]]\nname = "{name}"\nmetric = "m"\nbound = 1\nparent = "{parent}"\n'
        for name, parent in (("a", "b"), ("b", "a"), ("orphan", "nobody"))
    )
    (tmp_path / "foreact.toml").write_text(ring)
    assert client.put(f"{PATH}/fast-answers", json=LATENCY).status_code == 200
    assert client.delete(f"{PATH}/fast-answers").status_code == 204
    told = client.get(PATH).json()["trouble"]
    assert ["each other's parents: a → b → a" in told[0], "names the parent 'nobody'" in told[1]] == [True, True]
    assert client.put(f"{PATH}/a", json=LATENCY | {"parent": "b"}).json()["code"] == "goals.cyclic_tree"
    assert client.put(f"{PATH}/orphan", json=LATENCY | {"parent": "nobody"}).json()["code"] == "goals.unknown_parent"
    assert client.put(f"{PATH}/a", json=LATENCY).status_code == 200
    assert len(client.get(PATH).json()["trouble"]) == 1


def test_a_file_that_cannot_be_used_any_more_is_said_with_file_key_and_remedy(
    client: TestClient, tmp_path: Path
) -> None:
    (tmp_path / "foreact.toml").write_text(IN_FILE.format(bound='"much"'))
    told = client.get(PATH).json()
    (trouble,) = told["trouble"]
    assert str(tmp_path / "foreact.toml") in trouble
    assert "objectives.0.bound" in trouble
    assert "Correct or remove" in trouble
    assert "cpu-not-saturated" in {each["objective"]["name"] for each in told["objectives"]}


def test_the_loop_reads_the_file_anew_every_turn(store: Store, tmp_path: Path) -> None:
    for bound in (200, 300):
        (tmp_path / "foreact.toml").write_text(IN_FILE.format(bound=bound))
        in_force = {each.name: each.bound for each in objectives_in_force(load_settings(tmp_path), store)}
        assert in_force["in-file"] == bound


def test_contradictions_are_said(client: TestClient) -> None:
    client.put(f"{PATH}/low", json={"metric": "queue", "bound": 10})
    answer = client.put(f"{PATH}/high", json={"metric": "queue", "side": "above", "bound": 20})
    against, unheard = answer.json()["warnings"]
    assert "no value is both" in against
    assert unheard == "Nothing is recorded for queue yet."
    assert len(client.get(PATH).json()["contradictions"]) == 1


def test_a_broken_file_leaves_the_last_usable_one_in_force_and_is_shown_everywhere(
    client: TestClient, tmp_path: Path
) -> None:
    home = f'home = "{tmp_path}"\n'
    (tmp_path / "foreact.toml").write_text(home + IN_FILE.format(bound=200))
    assert client.get(f"{API}/status").json()["configuration_trouble"] is None
    (tmp_path / "foreact.toml").write_text(home + IN_FILE.format(bound='"much"'))
    assert origins(client)["in-file"] == "file"
    assert "objectives.0.bound" in client.get(PATH).json()["trouble"][0]
    assert "objectives.0.bound" in client.get(f"{API}/status").json()["configuration_trouble"]
    assert "objectives.0.bound" in client.get("/").text


def test_a_running_facade_goes_by_what_the_file_has_become(tmp_path: Path, tick: datetime) -> None:
    file = tmp_path / "foreact.toml"
    file.write_text("")
    with open_store(clock=lambda: tick) as store:
        settings = load_settings(tmp_path)
        facade = Facade(settings, store, RecordingTrigger(), lambda: tick, tick, follows_file=True)
        assert queries.agent.mode(facade).autonomous
        file.write_text("[agent]\nautonomous_mode = false\n[server]\nport = 6000\n")
        assert not queries.agent.mode(facade).autonomous
        assert facade.in_force.server == settings.server
        file.write_text("[agent]\nautonomous_mod = false\n")
        assert "agent.autonomous_mod" in (facade.trouble or "")


def test_a_metric_that_was_never_recorded_is_pointed_out(client: TestClient) -> None:
    client.post(f"{API}/metrics", json={"metric_name": "latency", "value": 1, "labels": {"zone": "a"}})
    assert client.put(f"{PATH}/fast", json=LATENCY).json()["warnings"] == []
    ratio = {"metric": "latency", "denominator": "request", "bound": 1}
    assert client.put(f"{PATH}/share", json=ratio).json()["warnings"] == ["Nothing is recorded for request yet."]


def test_an_unknown_field_is_refused_in_plain_words(client: TestClient) -> None:
    detail = client.put(f"{PATH}/fast", json=LATENCY | {"kidn": "slo"}).json()["detail"]
    assert detail.startswith("body: unknown fields: kidn; known fields are bound")


def test_a_deadline_needs_no_more_than_its_deployment_and_by_when(client: TestClient) -> None:
    body = {"kind": "deadline", "deployment": "load/nightly", "done_by": "06:00 Europe/Berlin"}
    shown = client.put(f"{PATH}/by-six", json=body).json()["objective"]
    assert (shown["metric"], shown["done_by"]) == (
        'prefect_run_age_seconds{deployment="load/nightly"}',
        body["done_by"],
    )
    refused = client.put(f"{PATH}/by-six", json={"kind": "deadline", "deployment": "load/nightly"})
    assert refused.status_code == 422
    assert "say by when" in refused.text


def test_an_slo_on_a_share_needs_no_bound_and_any_other_objective_does(client: TestClient) -> None:
    ratio = {"metric": "good_total", "denominator": "requests_total", "side": "above", "target_ratio": 0.999}
    answer = client.put(f"{PATH}/works", json=ratio | {"kind": "slo"}).json()["objective"]
    assert (answer["counts_events"], answer["bound"]) == (True, 0.999)
    refused = client.put(f"{PATH}/share", json=ratio)
    assert (refused.status_code, refused.json()["detail"]) == (422, "bound: Field required.")
