"""Outcomes can be read one by one and seen as pictures; the loop's own figures are told."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from fastapi.testclient import TestClient

from storage import Store
from storage.facts import INSIGHTS
from storage.records import Estimand, Outcome, Verdict
from tests.api import worlds
from tests.api.conftest import API

STEPS = 10


def measured(at: datetime, **changes: Any) -> Outcome:
    evidence = {
        "forecast": [0.5] * STEPS,
        "observed": [0.3] * STEPS,
        "low": [0.4] * STEPS,
        "high": [0.6] * STEPS,
        "step_s": 60,
        "first_at": (at - timedelta(minutes=9)).isoformat(),
        "window_steps": STEPS,
        "observed_steps": STEPS,
        "expected": 0.5,
        "relative_ratio": -0.4,
    }
    return worlds.an_outcome(worlds.an_action("action-2", at), at).model_copy(update={"evidence": evidence, **changes})


@pytest.fixture
def lived(store: Store, tick: datetime) -> Outcome:
    worlds.samples(store, tick)
    worlds.a_turn(store, tick)
    worlds.a_history(store, tick)
    store.engine.rows("DELETE FROM outcomes")
    outcome = measured(tick)
    aside = outcome.model_copy(update={"outcome_id": "aside", "series": "fan", "role": "side_effect"})
    store.outcomes.append([outcome, aside], "cycle-1")
    return outcome


def test_an_outcome_is_told_with_what_was_fixed_before_it(
    client: TestClient, store: Store, tick: datetime, lived: Outcome
) -> None:
    estimand = Estimand(
        action_id=lived.action_id,
        series=lived.series,
        better="lower",
        fixed_at=tick,
        forecast_cycle_id="cycle-1",
        issued_at=tick,
        step_s=60,
        horizon_steps=10,
        window_steps=10,
    )
    assert client.get(f"{API}/outcomes/{lived.outcome_id}").json()["estimand"] is None
    store.outcomes.fix(estimand, "cycle-1")
    told = client.get(f"{API}/outcomes/{lived.outcome_id}").json()
    assert told["estimand"]["window_steps"] == 10
    assert told["outcome"]["verdict"] == "improved"
    assert client.get(told["picture"]).status_code == 200


def test_a_person_who_is_asked_sees_how_small_an_effect_could_be_told(
    client: TestClient, store: Store, tick: datetime
) -> None:
    worlds.samples(store, tick, count=600)
    worlds.a_turn(store, tick)
    worlds.a_history(store, tick)
    told = client.get(f"{API}/actions/action-1/estimand").json()
    assert told["estimand"]["detectable"] > 0
    assert f"a change in {told['estimand']['series']} of" in told["sentence"]
    assert told["sentence"] in client.get("/actions/action-1").text
    assert store.outcomes.estimand("action-1") is None, "asking fixes nothing"


def test_of_an_act_without_a_past_or_a_metric_it_is_said_that_nothing_is_known(
    client: TestClient, store: Store, tick: datetime
) -> None:
    worlds.samples(store, tick, count=40)
    worlds.a_turn(store, tick)
    worlds.a_history(store, tick)
    assert "not known" in client.get(f"{API}/actions/action-1/estimand").json()["sentence"]
    store.actions.append([worlds.an_action("aimless", tick, series=None)], "cycle-1")
    refusal = client.get(f"{API}/actions/aimless/estimand")
    assert (refusal.status_code, refusal.json()["code"]) == (404, "estimand_none")


def test_of_an_amount_that_was_set_for_a_metric_without_a_response_the_page_says_why_nothing_is_measured(
    client: TestClient, store: Store, tick: datetime
) -> None:
    set_to_4 = worlds.an_action("amount", tick, series=None, params={"amount": 4.0})
    store.actions.append([set_to_4], "cycle-1")
    store.actions.finish(worlds.a_receipt("amount", tick))
    page = client.get("/actions/amount").text
    assert "name `driver` and `capacity` of the objective it is for" in page
    assert "<code>amount=4</code>" in page


@pytest.mark.usefixtures("lived")
def test_side_effects_are_listed_by_action_alone(client: TestClient) -> None:
    newest = client.get(f"{API}/outcomes").json()["outcomes"]
    assert {each["role"] for each in newest} == {"target"}
    everything = client.get(f"{API}/outcomes", params={"action_id": "action-2"}).json()["outcomes"]
    assert [each["role"] for each in everything] == ["target", "side_effect"]


@pytest.mark.parametrize("path", ["", "/picture"])
def test_an_unknown_outcome_is_a_problem_with_a_remedy(client: TestClient, path: str) -> None:
    answer = client.get(f"{API}/outcomes/none{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "outcome_unknown")


def test_the_picture_is_a_drawing_that_stands_alone(client: TestClient, lived: Outcome) -> None:
    answer = client.get(f"{API}/outcomes/{lived.outcome_id}/picture")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    root = ElementTree.fromstring(answer.text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    words = " ".join(text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "renice_process on cpu_used_ratio: improved" in words
    assert "90 % interval −0.3 to −0.1" in words
    assert "action, " in words
    assert "http" not in answer.text.replace("http://www.w3.org/2000/svg", "")
    assert answer.text == client.get(f"{API}/outcomes/{lived.outcome_id}/picture").text


@pytest.mark.usefixtures("lived")
def test_a_goals_page_has_the_charts_of_its_metric_and_of_its_outcomes(client: TestClient) -> None:
    text = client.get("/goals/goal-1").text
    sources = re.findall(r'class="plot" id="([^"]+)".*?data-source="([^"&]+)', text)
    assert sources == [("chart", "/series-data?name=cpu_used_ratio"), ("effect-1", "/outcomes/outcome-action-2/data?")]
    assert text.count("/picture") == 1


@pytest.mark.usefixtures("lived")
def test_an_actions_page_names_the_metrics_that_did_not_move(client: TestClient, store: Store, tick: datetime) -> None:
    quiet = measured(tick, outcome_id="calm", series="disk", role="side_effect", verdict=Verdict.NO_EFFECT)
    store.outcomes.append([quiet], "cycle-2")
    text = client.get("/actions/action-2").text
    assert 'No clear effect on other metrics: <a href="/outcomes/calm">disk</a>.' in text
    assert "fan" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"evidence": {}},
        {"evidence": {}, "verdict": Verdict.UNKNOWN, "estimate": None, "low": None, "high": None},
        {"evidence": {"forecast": [None] * 3, "low": [None], "step_s": 60}},
    ],
)
def test_an_outcome_of_which_little_is_known_has_a_picture_that_says_so(
    client: TestClient, store: Store, tick: datetime, changes: dict[str, Any]
) -> None:
    outcome = measured(tick, reason="no forecast was issued before", **changes)
    store.outcomes.append([outcome], "cycle-1")
    answer = client.get(f"{API}/outcomes/{outcome.outcome_id}/picture")
    assert answer.status_code == 200
    assert "no forecast was issued before" in answer.text
    ElementTree.fromstring(answer.text)


def test_what_was_recorded_cannot_become_markup(client: TestClient, store: Store, tick: datetime) -> None:
    outcome = measured(tick, action='<script>"', series="a<b", reason="<img>")
    store.outcomes.append([outcome], "cycle-1")
    text = client.get(f"{API}/outcomes/{outcome.outcome_id}/picture").text
    assert "<script" not in text
    assert "<img" not in text
    ElementTree.fromstring(text)


@pytest.mark.usefixtures("lived")
def test_the_report_tells_the_six_figures(client: TestClient, store: Store, tick: datetime) -> None:
    store.facts.set(
        INSIGHTS,
        client.get(f"{API}/executor/insights").json()
        | {"convergence": [{"best": "x", "best_ratio": 0.9, "value_remaining_sd": 0.1, "is_settled": True}]},
    )
    told = client.get(f"{API}/report").json()["monitoring"]
    assert told == client.get(f"{API}/executor/monitoring").json()
    assert told["goals_per_hour"] == pytest.approx(3 / 24)
    assert told["goal_achievement_rate"]["rate"] == 1.0
    assert told["action_success_rate"]["count"] == 1
    assert told["mean_execution_time_s"] == 0.0
    assert told["measured_impact"]["effect_sd_units"] == 1.2
    assert told["learning_convergence"]["settled_ratio"] == 1.0


def test_before_anything_was_done_the_figures_are_none_not_zero(client: TestClient) -> None:
    told = client.get(f"{API}/executor/monitoring").json()
    assert told.pop("window_s") == 86_400
    assert told.pop("goals_per_hour") == 0
    assert set(told.values()) == {None}
