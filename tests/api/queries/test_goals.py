"""Goals are told in the tense of now: what was when one was set, and what is now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from api.app import create_app
from api.queries.goals import told_now
from settings import load_settings
from storage import Store
from storage.records import GoalState, GoalView, Intent
from tests.api.conftest import API, BASE, RecordingTrigger, TestClient
from tests.api.worlds import a_goal, a_receipt, an_action

SET_AT = datetime(2026, 3, 2, 7, tzinfo=UTC)
SENTENCE = "cpu_used_ratio is 0.7 and climbs."


def a_view(state: GoalState = GoalState.ACTIVE, minutes: float = 0, **changes: object) -> GoalView:
    because = {"sentence": SENTENCE, "inputs": {"value": 0.7}}
    goal = a_goal("g", SET_AT, because=because).model_copy(update=changes)
    since = SET_AT + timedelta(minutes=minutes)
    return GoalView(goal=goal, state=state, progress=0, reason="cpu_used_ratio is 0.95", since=since)


def test_a_goal_that_was_just_set_says_what_is() -> None:
    assert told_now(a_view(), None) == SENTENCE


def test_an_open_goal_says_what_was_when_it_was_set_and_what_is_at_the_last_turn() -> None:
    told = told_now(a_view(), "cpu_used_ratio is 0.93 and should be at most 0.9")
    assert told == (
        "cpu_used_ratio was 70 % when this goal was set, at 2026-03-02 07:00 UTC. "
        "Now cpu_used_ratio is 0.93 and should be at most 0.9."
    )


def test_what_is_about_no_one_value_repeats_what_was_said_then() -> None:
    told = told_now(a_view(members=("a", "b")), "2 of 2 pods still miss it")
    assert told == f"When this goal was set, at 2026-03-02 07:00 UTC: {SENTENCE} Now 2 of 2 pods still miss it."


@pytest.mark.parametrize("state", [each for each in GoalState if each.is_terminal])
def test_a_closed_goal_says_how_it_ended_and_claims_nothing_of_now(state: GoalState) -> None:
    told = told_now(a_view(state, minutes=60), None)
    assert f"It ended as {state} at 2026-03-02 08:00 UTC: cpu_used_ratio is 0.95." in told
    assert "Now" not in told


def test_every_action_is_listed_with_the_form_of_its_parameters_where_that_is_asked_for(client: TestClient) -> None:
    assert client.get(f"{API}/actions").json()["available"] is None
    listed = {each["name"]: each for each in client.get(f"{API}/actions?available=true").json()["available"]}
    assert {"run_command", "scale_http", "notify"} <= listed.keys()
    assert listed["scale_http"]["parameters"]["properties"]["amount"]["description"]
    assert listed["renice_process"]["parameters"]["properties"]["nice"]["type"] == "integer"
    assert (listed["run_command"]["ready"], listed["run_command"]["needs"]) == (False, ["argv"])


def test_the_state_before_an_act_is_shown_without_the_secrets_of_the_configuration(
    store: Store, tick: datetime, tmp_path: Path
) -> None:
    state = {"login": "hunter2", "count": 3}
    store.actions.append([an_action("a", tick)], "cycle-1")
    store.actions.claim(Intent(action_id="a", at=tick, before=state))
    store.actions.finish(a_receipt("a", tick).model_copy(update={"undo": state}))
    settings = load_settings(tmp_path, home=tmp_path, actions={"own": {"password": "hunter2"}})
    with TestClient(create_app(settings, store=store, trigger=RecordingTrigger()), base_url=BASE) as client:
        for path in (f"{API}/actions", f"{API}/actions/a", "/actions/a"):
            assert "hunter2" not in client.get(path).text
        assert client.get(f"{API}/actions/a").json()["intent"]["before"]["count"] == 3
    assert store.actions.get("a").intent.before == state  # type: ignore[union-attr]
