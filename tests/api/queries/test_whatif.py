"""The twin is asked over REST and on its page; what it cannot answer it says in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from settings import load_settings
from storage import Store
from storage.records import Sample
from tests.api import worlds
from tests.api.conftest import API, BASE, RecordingTrigger

CONFIGURATION: dict[str, Any] = {
    "use_default_objectives": False,
    "objectives": [{"name": "cpu", "metric": worlds.SERIES, "bound": 0.48, "horizon_s": 3_600}],
    "actions": {
        "shed": {"target": "cpu", "expected_change": {worlds.SERIES: -0.2, "gone": 1.0}, "latency_seconds": 300},
        "mute": {"target": "cpu"},
        "set_cores": {
            "target": "cpu",
            "sets": "cores",
            "amounts": {"least": 1, "most": 8},
            "expected_change": {worlds.SERIES: -0.1},
        },
    },
}


@pytest.fixture
def asked(store: Store, tmp_path: Path, tick: datetime) -> Iterator[TestClient]:
    settings = load_settings(tmp_path, home=tmp_path, sampler={"enabled": False}, **CONFIGURATION)
    with TestClient(
        create_app(settings, store=store, trigger=RecordingTrigger(), clock=lambda: tick), base_url=BASE
    ) as it:
        yield it


def test_a_what_if_is_told_with_fans_breaches_and_what_is_silent(
    asked: TestClient, store: Store, tick: datetime
) -> None:
    worlds.samples(store, tick, count=600)
    told = asked.get(f"{API}/whatif", params={"action": "shed", "at": (tick + 10 * worlds.MINUTE).isoformat()}).json()
    (fan,) = told["metrics"]
    assert (fan["series"], fan["change"] < -0.1) == (worlds.SERIES, True)
    assert fan["with_act"][10] == fan["without"][10]
    assert fan["with_act"][40][2] < fan["without"][40][2] - 0.1
    (breach,) = told["breaches"]
    assert breach["with_act"] <= breach["without"]
    assert any("gone is not forecast" in note for note in told["notes"])
    assert told["past"] == {"observations": 0, "coverage_90": None}
    assert not store.actions.latest(10), "nothing is planned"
    page = asked.get("/whatif", params={"action": "shed", "minutes": 10}).text
    assert worlds.SERIES in page
    assert 'class="band"' in page


def test_an_act_of_which_nothing_is_believed_is_said_so(asked: TestClient, store: Store, tick: datetime) -> None:
    worlds.samples(store, tick, count=600)
    told = asked.get(f"{API}/whatif", params={"action": "mute"}).json()
    assert told["metrics"] == []
    assert "Nothing is believed of mute here yet" in told["sentence"]


def test_more_and_less_of_an_amount_are_told_apart_and_the_next_higher_is_meant_where_none_is_named(
    asked: TestClient, store: Store, tick: datetime
) -> None:
    worlds.samples(store, tick, count=600)
    unknown = asked.get(f"{API}/whatif", params={"action": "set_cores"}).json()
    assert unknown["sentence"].startswith("cores would be 1; what it is now is not recorded. Nothing is believed")
    store.samples.append([Sample(metric="cores", value=4.0, ts=tick - n * worlds.MINUTE) for n in range(600)])
    more = asked.get(f"{API}/whatif", params={"action": "set_cores"}).json()
    less = asked.get(f"{API}/whatif", params={"action": "set_cores", "params": '{"amount": 2}'}).json()
    assert more["params"] == {"amount": 5}
    assert more["sentence"].startswith("cores goes from 4 to 5. ")
    assert less["sentence"].startswith("cores goes from 4 to 2. ")
    changes = [fan["change"] for told in (more, less) for fan in told["metrics"] if fan["series"] == worlds.SERIES]
    assert changes == [pytest.approx(-0.1), pytest.approx(0.2)]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"action": "nobody"}, "action_not_registered"),
        ({"action": "shed", "at": "2020-01-01T00:00:00Z"}, "whatif_outside"),
        ({"action": "shed", "at": "2100-01-01T00:00:00Z"}, "whatif_outside"),
        ({"action": "shed", "params": "[1]"}, "whatif_params"),
        ({"action": "shed", "params": "{"}, "whatif_params"),
        ({"action": "set_cores", "params": '{"amount": "many"}'}, "whatif_params"),
        ({"action": "set_cores", "params": '{"amount": NaN}'}, "whatif_params"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_remedy(
    asked: TestClient, store: Store, tick: datetime, params: dict[str, str], code: str
) -> None:
    worlds.samples(store, tick, count=600)
    refusal = asked.get(f"{API}/whatif", params=params).json()
    assert refusal["code"] == code
    assert refusal["remedy"]


def test_the_page_says_that_a_moment_is_out_of_reach(asked: TestClient, store: Store, tick: datetime) -> None:
    worlds.samples(store, tick, count=600)
    assert "Choose a moment in between." in asked.get("/whatif", params={"action": "shed", "minutes": 43_000}).text


def test_without_a_forecast_the_twin_says_what_to_do(asked: TestClient) -> None:
    assert asked.get(f"{API}/whatif", params={"action": "shed"}).json()["code"] == "whatif_no_forecast"
    assert "30 samples" in asked.get("/whatif", params={"action": "shed"}).text


def test_how_past_answers_fared_is_told(asked: TestClient, store: Store, tick: datetime) -> None:
    worlds.samples(store, tick, count=600)
    for number, held in enumerate((9, 8)):
        outcome = worlds.an_outcome(worlds.an_action(f"a{number}", tick), tick)
        told_then = {"held": held, "seen": 10, "reach": [2.0] * 30}
        store.outcomes.append([outcome.model_copy(update={"evidence": {"what_if": told_then}})], "cycle-1")
    told = asked.get(f"{API}/whatif", params={"action": "shed"}).json()
    assert told["past"] == {"observations": 20, "coverage_90": 0.85}
    (fan,) = told["metrics"]
    now, then = (np.array([fan[key][30][4] - fan[key][30][0]]) for key in ("without", "with_act"))
    assert then > 2 * now, "past bands were half as wide as they should have been"
    assert "foreact_whatif_coverage_ratio 0.85" in asked.get("/metrics").text
    assert "85 %" in asked.get("/whatif").text
