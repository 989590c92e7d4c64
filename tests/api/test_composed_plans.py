"""What the facade tells of sequences: each step and what became of it, what is declared, and what pairs add."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from settings import SamplerSettings, load_settings
from storage import Store
from storage.facts import SEQUENCE_ENDS, SequenceEnd
from storage.records import Alternative, GoalState, ReceiptStatus, Strategy
from tests.api.conftest import API, BASE, RecordingTrigger
from tests.api.worlds import a_decision, a_goal, a_move, a_receipt, an_action, an_outcome, an_undo

STEPS = ("start_replica", "switch_over")
NAME = "start_replica, then switch_over"
DECLARED: dict[str, dict[str, Any]] = {
    "start_replica": {"candidates": [{}], "provides": ["replica up"]},
    "switch_over": {"candidates": [{}], "requires": ["replica up", "standy"]},
}


@pytest.fixture
def declaring(store: Store, trigger: RecordingTrigger, tick: datetime, tmp_path: Path) -> Iterator[TestClient]:
    given = load_settings(tmp_path, home=tmp_path, sampler=SamplerSettings(enabled=False), actions=DECLARED)
    with TestClient(create_app(given, store=store, trigger=trigger, clock=lambda: tick), base_url=BASE) as opened:
        yield opened


@pytest.fixture
def failed(store: Store, tick: datetime) -> None:
    """Leave a sequence whose second step failed and whose first one was undone."""
    goal = a_goal("goal-1", tick)
    store.goals.append([goal], [a_move("goal-1", GoalState.ACTIVE, tick)], "cycle-1")
    steps = [
        an_action(f"step-{n}", tick, name=name, target=name, sequence_id="sequence-1", position=n, steps=STEPS)
        for n, name in enumerate(STEPS)
    ]
    store.actions.append(steps, "cycle-1")
    chosen = Alternative(action=NAME, value=0.4, propensity=0.9, steps=STEPS)
    decided = a_decision(tick).model_copy(update={"chosen": chosen, "strategy": Strategy.IMMEDIATE})
    store.decisions.append([decided], [], "cycle-1")
    store.actions.finish(a_receipt("step-0", tick))
    store.actions.finish(a_receipt("step-1", tick, ReceiptStatus.FAILED))
    store.actions.finish(a_receipt(an_undo(store, "step-0", tick).action_id, tick))
    end = SequenceEnd("undone", tick, NAME, "goal-1", "It failed: switch_over ended as failed.")
    store.facts.set(SEQUENCE_ENDS.of("sequence-1"), end)


def test_where_nothing_is_declared_that_is_said(client: TestClient) -> None:
    told = client.get(f"{API}/composed-plans").json()
    assert (told["declared"], told["sequences"], told["doubts"], told["synergies"]) == ([], [], [], [])
    assert "every plan is of single actions" in told["note"]
    assert "every plan is of single actions" in client.get("/composed-plans").text


def test_what_is_declared_is_listed_with_what_is_wrong_with_it(declaring: TestClient) -> None:
    told = declaring.get(f"{API}/composed-plans").json()
    by_name = {each["name"]: each for each in told["declared"]}
    assert by_name["switch_over"]["lacks"] == ["replica up", "standy"]
    assert told["doubts"] == ["switch_over requires standy, which no action provides or reports: it waits for that."]
    assert told["note"] is None
    assert told["doubts"][0] in declaring.get("/composed-plans").text


@pytest.mark.usefixtures("failed")
def test_the_steps_of_a_sequence_are_shown_wherever_one_of_them_is(client: TestClient) -> None:
    (shown,) = client.get(f"{API}/composed-plans").json()["sequences"]
    assert (shown["name"], shown["how"]) == (NAME, "undone")
    assert [(step["name"], step["status"]) for step in shown["steps"]] == [
        ("start_replica", "succeeded"),
        ("switch_over", "failed"),
    ]
    assert shown["steps"][0]["undone_by"]
    assert client.get(f"{API}/actions/step-1").json()["sequence"] == shown
    assert client.get(f"{API}/decisions/decision-1").json()["chosen"]["steps"] == list(STEPS)
    for page in ("/composed-plans", "/actions/step-0", "/decisions/decision-1"):
        text = client.get(page).text
        assert "It failed: switch_over ended as failed." in text, page
        assert f"/actions/{shown['steps'][0]['undone_by']}" in text, page


@pytest.mark.usefixtures("failed")
def test_an_action_that_is_no_step_has_no_sequence(client: TestClient, store: Store, tick: datetime) -> None:
    store.actions.append([an_action("alone", tick)], "cycle-1")
    assert client.get(f"{API}/actions/alone").json()["sequence"] is None


@pytest.mark.usefixtures("failed")
def test_what_a_pair_adds_is_told_with_its_interval(client: TestClient, store: Store, tick: datetime) -> None:
    last = store.actions.get("step-1")
    assert last is not None
    numbers = {"effect_sd_units": 1.4, "standard_error_sd_units": 0.2}
    outcome = an_outcome(last.action, tick).model_copy(update={"action": NAME, "steps": STEPS, **numbers})
    store.outcomes.append([outcome], "cycle-1")
    (told,) = client.get(f"{API}/composed-plans").json()["synergies"]
    assert told["actions"] == list(STEPS)
    assert told["low"] < told["mean"] < told["high"]
    assert told["mean"] > 0.2
    assert "start_replica and switch_over" in client.get("/composed-plans").text


def test_a_person_is_asked_once_for_a_sequence(client: TestClient, store: Store, tick: datetime) -> None:
    store.goals.append([a_goal("goal-1", tick)], [a_move("goal-1", GoalState.ACTIVE, tick)], "cycle-1")
    common: dict[str, Any] = {"sequence_id": "sequence-2", "steps": STEPS}
    store.actions.append([an_action(f"s{n}", tick, name=STEPS[n], position=n, **common) for n in (0, 1)], "cycle-1")
    page = client.get("/").text
    assert "/api/autonomous/actions/s0/approve" in page
    assert "/api/autonomous/actions/s1/approve" not in page
