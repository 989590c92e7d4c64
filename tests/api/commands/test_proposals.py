"""What others than the loop propose is checked, recorded and guarded like its own, and never approved by them."""

from __future__ import annotations

import json
import re
import socket
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api import access, queries
from api.access import AGENT_MARK
from api.background.alerts import Alerts
from api.background.notifications import WAITING, of_line
from api.commands import proposals
from api.facade import Facade
from handlers import ActionHandler
from settings import SamplerSettings, ServerSettings, Settings, load_settings, utc_now
from storage import Store, address_file
from storage.facts import EARNED_LEVELS, EarnedLevel
from storage.private import write_private
from storage.records import Alternative, Autonomy
from tasks.authority import (
    NOT_HEARD_FOR,
    as_allowed_now,
    counts_for,
    forget_proposer,
    judge_proposer,
    proposer_level,
)
from tasks.configured_actions import configured_actions
from tests.api import worlds
from tests.api.conftest import API, RecordingTrigger

PROPOSE = f"{API}/goals/goal-1/propose"
PARAMS = {"pid": 4711, "nice": 12}
GOOD = {"action": "renice_process", "params": PARAMS, "reason": "It is a backup.", "by": "planner"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    actions = {"renice_process": {"allow_names": ["burner"]}}
    return load_settings(tmp_path, home=tmp_path, sampler=SamplerSettings(enabled=False), actions=actions)


@pytest.fixture(autouse=True)
def lived(store: Store, tick: datetime) -> None:
    worlds.a_turn(store, tick)
    worlds.a_history(store, tick)


def offer(store: Store, tick: datetime, params: dict[str, Any]) -> None:
    """Let the newest plan have weighed the very thing."""
    weighed = Alternative(action="renice_process", params=params, target="burner", value=0.4, propensity=0.9)
    decision = worlds.a_decision(tick + timedelta(seconds=1)).model_copy(
        update={"decision_id": "decision-2", "chosen": weighed, "alternatives": (weighed,)}
    )
    store.decisions.append([decision], [], "cycle-1")


def earn_all(store: Store, proposer: str) -> None:
    """Let the pair and the proposer have earned to act alone."""
    goal = store.goals.get("goal-1")
    assert goal is not None
    store.facts.set(EARNED_LEVELS.of(f"{goal.goal.goal_type}:renice_process"), EarnedLevel(Autonomy.AUTO, None))
    judge_proposer(store, proposer, Autonomy.AUTO, "its acts helped")


def propose(client: TestClient, **changes: Any) -> dict[str, Any]:
    answer = client.post(PROPOSE, json=GOOD | changes)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def test_a_proposal_is_an_action_that_waits_with_its_reason_and_what_it_is_measured_by(
    client: TestClient, store: Store, trigger: RecordingTrigger
) -> None:
    told = propose(client)
    assert (told["status"], told["level"]) == ("waiting for approval", "approve")
    assert "person must approve" in told["note"]
    view = store.actions.get(told["action_id"])
    assert view is not None
    action = view.action
    assert (action.name, action.params, action.series, action.forecast_cycle_id) == (
        "renice_process",
        PARAMS,
        worlds.SERIES,
        "cycle-1",
    )
    assert "planner" in action.proposed_by
    decision = store.decisions.get(action.decision_id)
    assert decision is not None
    assert decision.explanation.endswith("proposed it: It is a backup.")
    assert store.audit.latest(1)[0].verb == "propose action"
    assert trigger.calls == []


def test_the_same_proposal_twice_is_one_and_what_the_loop_plans_already_none(client: TestClient, store: Store) -> None:
    assert propose(client)["action_id"] == propose(client)["action_id"]
    assert propose(client, params={"pid": 4711, "nice": 10})["action_id"] == "action-1"
    assert len(store.actions.proposed()) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"action": "rm"}, "action_not_registered"),
        ({"params": {**PARAMS, "sudo": True}}, "parameters_invalid"),
        ({"params": {**PARAMS, "nice": "high"}}, "parameters_invalid"),
        ({"reason": " "}, "request_invalid"),
        ({"level": "auto"}, "request_invalid"),
    ],
)
def test_what_is_not_registered_or_does_not_fit_the_schema_is_refused_in_a_sentence(
    client: TestClient, store: Store, changes: dict[str, Any], code: str
) -> None:
    answer = client.post(PROPOSE, json=GOOD | changes)
    told = answer.json()
    assert (answer.status_code, told["code"]) == (422, code)
    assert told["detail"]
    assert "\n" not in told["detail"]
    assert store.actions.proposed() == []


ODD = """from handlers import action

@action(name="odd", parameters={"properties": {"zone": {"$ref": "ADDRESS"}}})
def odd(params, context): ...
"""


@pytest.mark.parametrize("points_to", ["#/nowhere", "#/properties/zone", "http"])
def test_a_schema_that_points_nowhere_in_a_ring_or_elsewhere_is_no_reason_to_fail_or_to_fetch(
    client: TestClient, tmp_path: Path, points_to: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.2)
        address = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/" if points_to == "http" else points_to
        (tmp_path / "actions").mkdir()
        (tmp_path / "actions" / "odd.py").write_text(ODD.replace("ADDRESS", address))
        answer = client.post(PROPOSE, json=GOOD | {"action": "odd", "params": {"zone": "eu"}})
        with pytest.raises(TimeoutError):
            elsewhere.accept()
    assert (answer.status_code, answer.json()["code"]) == (422, "parameters_invalid")
    assert answer.json()["detail"].startswith("odd: ")


def test_a_proposal_needs_a_goal_that_is_open(client: TestClient) -> None:
    assert client.post(f"{API}/goals/goal-9/propose", json=GOOD).json()["code"] == "goal_unknown"
    assert client.post(f"{API}/goals/goal-2/propose", json=GOOD).json()["code"] == "goal_closed"


def test_no_more_than_three_of_one_proposer_are_open_at_once(client: TestClient, store: Store) -> None:
    for nice in (1, 2, 3):
        propose(client, params={**PARAMS, "nice": nice})
    answer = client.post(PROPOSE, json=GOOD)
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_proposals")
    propose(client, by="somebody else")


def as_owner(settings: Settings) -> dict[str, str]:
    """Return the header of the command line."""
    write_private(address_file(settings.database_path), json.dumps({"token": "the-token-of-the-owner"}))
    return {"Authorization": "Bearer the-token-of-the-owner"}


def test_nobody_approves_what_he_proposed_by_another_name_either_and_somebody_else_may(
    client: TestClient, settings: Settings
) -> None:
    approve = f"{API}/actions/{propose(client)['action_id']}/approve"
    for claimed in ("planner", "ada", "api"):
        refused = client.post(approve, json={"by": claimed})
        assert (refused.status_code, refused.json()["code"]) == (403, "own_proposal")
    assert client.post(approve, headers=as_owner(settings)).is_success


@pytest.mark.parametrize("is_by_owner", [True, False])
def test_an_agent_without_a_key_proposes_and_answers_nothing_and_its_user_does(
    client: TestClient, settings: Settings, store: Store, is_by_owner: bool
) -> None:
    owner = as_owner(settings)
    agent = {**(owner if is_by_owner else {"Authorization": "Bearer foreact_no-such-key"}), **AGENT_MARK}
    told = client.post(PROPOSE, json=GOOD, headers=agent).json()
    assert re.fullmatch(r"agent(:\w+)? \(planner\)", told["proposed_by"])
    assert client.get(f"{API}/goals", headers=agent).is_success
    for path in (
        f"actions/{told['action_id']}/approve",
        f"actions/{told['action_id']}/reject",
        "actions/action-1/approve",
        "actions/action-2/undo",
        "goals/goal-1/approve",
        "goals/goal-1/cancel",
        "mode",
    ):
        refused = client.post(f"{API}/{path}", json={"by": "ada"}, headers=agent)
        assert (refused.status_code, refused.json()["code"]) == (403, "agent_needs_key")
        assert "foreact approve ID" in refused.json()["remedy"]
    assert client.post(f"{API}/actions/{told['action_id']}/approve", headers=owner).is_success
    view = store.actions.get(told["action_id"])
    assert view is not None
    assert view.approval is not None
    assert view.approval.by == access.person()


def test_an_agent_with_a_key_is_who_its_key_says(client: TestClient, settings: Settings) -> None:
    keys: list[access.ApiKey] = []
    headers = {}
    for name in ("planner", "ada"):
        keys, text = access.with_key(keys, name, access.Role.OPERATOR, utc_now())
        headers[name] = {"Authorization": f"Bearer {text}", **AGENT_MARK}
    access.write_keys(access.key_file(settings), keys)
    told = client.post(PROPOSE, json=GOOD | {"by": "ada"}, headers=headers["planner"]).json()
    assert told["proposed_by"] == "planner"
    approve = f"{API}/actions/{told['action_id']}/approve"
    refused = client.post(approve, json={"by": "ada"}, headers=headers["planner"])
    assert refused.json()["code"] == "own_proposal"
    assert client.post(approve, headers=headers["ada"]).is_success


def test_people_are_told_of_a_proposal_that_waits(client: TestClient, store: Store) -> None:
    told = propose(client)
    news = of_line(store.audit.latest(1)[0])
    assert (news.event, news.severity) == (WAITING, "warning")
    assert news.sentence.endswith(f" waits for your approval: foreact approve {told['action_id']}")
    assert news.sentence.startswith("renice_process on ")


def test_in_mode_off_a_proposal_that_might_run_alone_waits_and_brings_its_links(
    client: TestClient, settings: Settings, store: Store, tick: datetime
) -> None:
    earn_all(store, propose(client)["proposed_by"])
    client.post(f"{API}/mode", json={"autonomous": False})
    weighed = {**PARAMS, "nice": 6}
    offer(store, tick, weighed)
    told = propose(client, params=weighed)
    view = store.actions.get(told["action_id"])
    assert view is not None
    assert view.action.level is Autonomy.AUTO
    news = of_line(store.audit.latest(1)[0])
    assert news.event == WAITING
    reached = settings.model_copy(update={"server": ServerSettings(public_url="https://foreact.example.com")})
    line = Alerts(lambda: reached, store, lambda: tick, "notifier")._line(news)
    assert "Approve: https://foreact.example.com/answer?a=" in line


def test_prefect_is_not_asked_while_others_wait_to_propose(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    found, held = queries.goals.actions_here, []

    def watched(facade: Facade) -> dict[str, ActionHandler]:
        held.append(proposals._ONE_AT_A_TIME.locked())
        return found(facade)

    monkeypatch.setattr(queries.goals, "actions_here", watched)
    propose(client)
    assert held == [False]


def test_a_dry_run_of_a_proposal_is_nobodys_proposal(client: TestClient, settings: Settings, store: Store) -> None:
    approve = f"{API}/actions/{propose(client)['action_id']}/approve"
    assert client.post(approve, params={"dry_run": True}).is_success
    assert len(store.actions.proposed()) == 1


def test_the_newest_decisions_with_outcomes_are_the_loops_own(client: TestClient, store: Store, tick: datetime) -> None:
    view = store.actions.get(propose(client)["action_id"])
    assert view is not None
    before = [outcome.action_id for outcome, _ in store.outcomes.decided(10)]
    store.outcomes.append([worlds.an_outcome(view.action, tick)], "cycle-1")
    assert before == ["action-2", "action-3"]
    for limit in (2, 10):
        assert [outcome.action_id for outcome, _ in store.outcomes.decided(limit)] == before


def test_whoever_gets_the_name_of_a_key_that_was_revoked_begins_anew(client: TestClient, store: Store) -> None:
    told = propose(client)
    judge_proposer(store, told["proposed_by"], Autonomy.AUTO, "its acts helped")
    forget_proposer(store, "somebody else", "cli:ann")
    assert proposer_level(store, told["proposed_by"]).level is Autonomy.AUTO
    for _ in range(2):
        forget_proposer(store, told["proposed_by"], "cli:ann")
    assert [each.verb for each in store.audit.latest(2)] == ["forget proposer", "propose action"]
    assert proposer_level(store, told["proposed_by"]).level is Autonomy.APPROVE
    view = store.actions.get(told["action_id"])
    assert view is not None
    judge_proposer(store, told["proposed_by"], Autonomy.APPROVE, "whatever is found later")
    assert not counts_for(store, view.action)
    later = view.action.model_copy(update={"created_at": store.clock() + timedelta(hours=1)})
    assert counts_for(store, later)


def test_it_runs_alone_only_where_pair_and_proposer_earned_it_and_the_plan_weighed_it(
    client: TestClient, store: Store, tick: datetime, trigger: RecordingTrigger
) -> None:
    earn_all(store, propose(client)["proposed_by"])
    not_weighed = {**PARAMS, "nice": 5}
    assert propose(client, params=not_weighed)["level"] == "approve"
    assert trigger.calls == []
    weighed = {**PARAMS, "nice": 6}
    offer(store, tick, weighed)
    told = propose(client, params=weighed)
    assert (told["level"], told["status"]) == ("auto", "scheduled")
    assert [name for name, _, _ in trigger.calls] == ["tend"]
    view = store.actions.get(told["action_id"])
    assert view is not None
    assert view.action.target == "burner"


def test_a_proposer_whose_acts_were_of_no_use_is_refused_for_a_week(
    client: TestClient, store: Store, settings: Settings
) -> None:
    told = propose(client)
    judge_proposer(store, told["proposed_by"], Autonomy.OBSERVE, "its last 8 acts were of no use")
    answer = client.post(PROPOSE, json=GOOD | {"params": {**PARAMS, "nice": 1}})
    assert (answer.status_code, answer.json()["code"]) == (403, "proposer_refused")
    assert "its last 8 acts were of no use" in answer.json()["detail"]
    view = store.actions.get(told["action_id"])
    assert view is not None
    assert as_allowed_now(configured_actions(settings), store, view).action.level is Autonomy.OBSERVE
    (standing,) = client.get(f"{API}/proposers").json()["proposers"]
    assert (standing["level"], standing["proposals"], standing["acts"]) == ("observe", 1, 0)


def test_after_that_week_it_begins_anew(store: Store, tick: datetime) -> None:
    judge_proposer(store, "planner", Autonomy.OBSERVE, "of no use")
    store.clock = lambda: tick + NOT_HEARD_FOR - timedelta(seconds=1)
    assert proposer_level(store, "planner").level is Autonomy.OBSERVE
    store.clock = lambda: tick + NOT_HEARD_FOR
    assert proposer_level(store, "planner").level is Autonomy.APPROVE
