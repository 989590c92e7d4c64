"""What a person decides is a durable row, a line in the audit trail, and a run of `tend`."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from settings import load_settings
from storage import Store
from storage.facts import EARNED_LEVELS, WAITS, EarnedLevel, Wait
from storage.records import Approval, Autonomy, GoalState
from tests.api import worlds
from tests.api.conftest import API, BASE, RecordingTrigger

ACTION, GOAL = f"{API}/actions/action-1", f"{API}/goals/goal-1"


@pytest.fixture(autouse=True)
def lived(store: Store, tick: datetime) -> None:
    worlds.a_history(store, tick)


def verbs(store: Store) -> list[str]:
    return [entry.verb for entry in reversed(store.audit.latest())]


def test_goals_are_listed_by_importance_with_their_progress(client: TestClient) -> None:
    overview = client.get(f"{API}/goals").json()
    assert overview["total_active_goals"] == 2
    assert {g["goal_id"] for g in overview["goals"]} == {"goal-1", "goal-3"}
    (first,) = [g for g in overview["goals"] if g["goal_id"] == "goal-1"]
    assert (first["description"], first["progress"], first["priority"]) == ("Keep cpu_used_ratio below 0.9", 0.25, 0.5)
    closed = client.get(f"{API}/goals", params={"state": "closed"}).json()
    assert [g["goal_id"] for g in closed["goals"]] == ["goal-2"]
    assert len(client.get(f"{API}/goals", params={"state": "all"}).json()["goals"]) == 3


def test_a_goal_is_shown_with_all_that_belongs_to_it(client: TestClient) -> None:
    goal = client.get(GOAL).json()
    assert [t["state"] for t in goal["history"]] == ["active"]
    assert goal["decisions"][0]["explanation"] == "Renicing is worth most."
    assert goal["plans"][0]["strategy"] == "IMMEDIATE"
    assert {a["action"]["action_id"]: a["status"] for a in goal["actions"]} == {
        "action-1": "waiting for approval",
        "action-2": "succeeded",
        "action-3": "failed",
    }
    assert [child["goal_id"] for child in goal["children"]] == ["goal-3"]


def test_actions_are_listed_with_their_outcomes(client: TestClient) -> None:
    shown = {a["action"]["action_id"]: a for a in client.get(f"{API}/actions").json()["actions"]}
    assert shown["action-2"]["outcomes"][0]["verdict"] == "improved"
    assert shown["action-1"]["needs_approval"] is True
    assert client.get(f"{API}/actions/action-2").json() == shown["action-2"]


def test_an_action_that_is_due_and_not_done_says_what_it_waits_for(client: TestClient, store: Store) -> None:
    store.facts.set(WAITS, {"action-1": Wait("A maintenance window is open."), "action-2": Wait("It was long ago.")})
    assert client.get(ACTION).json()["waits_for"] == "A maintenance window is open."
    shown = {a["action"]["action_id"]: a["waits_for"] for a in client.get(f"{API}/actions").json()["actions"]}
    assert shown == {"action-1": "A maintenance window is open.", "action-2": None, "action-3": None}


def test_an_approval_is_kept_audited_and_tended_to(client: TestClient, store: Store, trigger: RecordingTrigger) -> None:
    body = {"by": "ada", "params": {"nice": 5}}
    answer = client.post(f"{ACTION}/approve", json=body).json()
    assert (answer["done"], answer["flow_run_id"]) == ("approved", "run-1")
    view = store.actions.get("action-1")
    assert view is not None
    assert view.approval is not None
    assert (view.approval.by, view.approval.approved, view.approval.params) == ("local (ada)", True, {"nice": 5})
    assert verbs(store) == ["approve action"]
    assert trigger.calls[0][0] == "tend"


def test_the_first_answer_counts_and_the_same_again_is_one(client: TestClient, store: Store) -> None:
    assert client.post(f"{ACTION}/approve").status_code == 200
    assert client.post(f"{ACTION}/approve").json()["note"] == "It was already."
    other = client.post(f"{ACTION}/reject")
    assert (other.status_code, other.json()["code"]) == (409, "already_answered")
    assert verbs(store) == ["approve action"]


def test_a_rejected_action_starts_nothing(client: TestClient, trigger: RecordingTrigger) -> None:
    assert client.post(f"{ACTION}/reject", json={"note": "not now"}).json()["done"] == "rejected"
    assert trigger.calls == []
    assert client.get(ACTION).json()["status"] == "rejected"


def test_what_was_done_or_has_expired_takes_no_answer(client: TestClient, store: Store, tick: datetime) -> None:
    expired = worlds.an_action("action-old", tick - timedelta(hours=2))
    store.actions.append([expired], "cycle-1")
    for action_id, state in (("action-2", "succeeded"), ("action-old", "expired")):
        answer = client.post(f"{API}/actions/{action_id}/approve")
        assert (answer.status_code, answer.json()["code"]) == (409, "not_waiting")
        assert state in answer.json()["detail"]


def test_an_approval_never_outlives_its_action(client: TestClient, store: Store, tick: datetime) -> None:
    client.post(f"{ACTION}/approve")
    view = store.actions.get("action-1")
    assert view is not None
    assert view.approval is not None
    assert view.approval.expires_at == view.action.expires_at


def test_an_approval_stands_while_prefect_is_away(client: TestClient, store: Store, trigger: RecordingTrigger) -> None:
    trigger.is_away = True
    answer = client.post(f"{ACTION}/approve")
    assert answer.status_code == 200
    assert answer.json()["flow_run_id"] is None
    assert "as soon as Prefect answers" in answer.json()["note"]
    view = store.actions.get("action-1")
    assert view is not None
    assert view.approval is not None


def test_approving_a_goal_approves_what_waits(client: TestClient, store: Store) -> None:
    assert client.post(f"{GOAL}/approve", json={"by": "ada"}).json()["action_ids"] == ["action-1"]
    again = client.post(f"{GOAL}/approve")
    assert (again.status_code, again.json()["code"]) == (409, "nothing_to_approve")


def test_cancelling_a_goal_rejects_what_waits(client: TestClient, store: Store) -> None:
    answer = client.post(f"{GOAL}/cancel", json={"by": "ada", "note": "maintenance"}).json()
    assert (answer["done"], answer["action_ids"]) == ("cancelled", ["action-1"])
    view = store.goals.get("goal-1")
    assert view is not None
    assert (view.state, view.reason, view.progress) == (GoalState.CANCELLED, "maintenance", 0.25)
    assert verbs(store) == ["reject action", "cancel goal"]
    assert client.post(f"{GOAL}/cancel").json()["note"] == "It was already."


def test_a_dry_run_on_request_is_an_action_of_its_own_and_the_other_goes_on_waiting(
    client: TestClient, store: Store, trigger: RecordingTrigger
) -> None:
    body = {"by": "ada", "params": {"nice": 5}}
    answered = client.post(f"{ACTION}/approve", params={"dry_run": True}, json=body).json()
    assert answered["done"] == "dry run requested"
    (rehearsal,) = answered["action_ids"]
    view = store.actions.get(rehearsal)
    assert view is not None
    assert view.action.dry_run
    assert view.action.params == {"pid": 4711, "nice": 5}
    assert view.approval is not None
    assert view.approval.approved
    assert client.get(ACTION).json()["status"] == "waiting for approval"
    assert verbs(store) == ["ask for dry run"]
    assert [call[0] for call in trigger.calls] == ["tend"]


def test_a_dry_run_of_what_has_expired_is_refused(client: TestClient, store: Store, tick: datetime) -> None:
    gone = worlds.an_action("action-8", tick - timedelta(days=1))
    store.actions.append([gone], "cycle-1")
    answer = client.post(f"{API}/actions/action-8/approve", params={"dry_run": True})
    assert answer.status_code == 409
    assert answer.json()["code"] == "nothing_to_rehearse"


def test_an_approval_that_comes_after_expiry_or_twice_is_told_so_plainly(
    client: TestClient, store: Store, tick: datetime
) -> None:
    store.actions.append([worlds.an_action("action-8", tick - timedelta(days=1))], "cycle-1")
    late = client.post(f"{API}/actions/action-8/approve").json()
    assert (late["code"], late["detail"]) == ("not_waiting", "action-8 does not wait for approval: it is expired.")
    client.post(f"{ACTION}/reject", json={"by": "ada"})
    twice = client.post(f"{ACTION}/approve", json={"by": "bob"}).json()
    assert (twice["code"], twice["detail"]) == ("already_answered", "action-1 was rejected by local (ada) already.")
    assert store.actions.get("action-8").approval is None  # type: ignore[union-attr]


def test_goals_that_pull_one_metric_both_ways_are_named(client: TestClient, store: Store, tick: datetime) -> None:
    busy = worlds.a_goal("goal-8", tick, side="above", bound=0.2)
    store.goals.append([busy], [worlds.a_move("goal-8", GoalState.ACTIVE, tick)], "cycle-2")
    conflicts = client.get(f"{API}/goals").json()["conflicts"]
    assert conflicts
    assert all("what helps one harms the other" in each for each in conflicts)


def test_a_closed_goal_cannot_be_cancelled(client: TestClient) -> None:
    answer = client.post(f"{API}/goals/goal-2/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "goal_closed")


def test_an_undo_is_an_action_that_is_asked_for_once(
    client: TestClient, store: Store, trigger: RecordingTrigger, tick: datetime
) -> None:
    first = client.post(f"{API}/actions/action-2/undo", json={"by": "ada"})
    second = client.post(f"{API}/actions/action-2/undo")
    assert first.status_code == second.status_code == 202
    assert first.json()["action_ids"] == second.json()["action_ids"]
    undo = store.actions.undo_for("action-2")
    assert undo is not None
    assert undo.approval == Approval(
        action_id=undo.action.action_id, approved=True, by="local (ada)", at=tick, expires_at=tick + timedelta(days=1)
    )
    assert (undo.action.level, undo.action.due_at) == (Autonomy.AUTO, tick)
    assert verbs(store) == ["undo action"]
    assert trigger.calls[0][:2] == ("tend", {"reason": "undo"})
    assert client.get(f"{API}/actions/action-2").json()["undone_by"] == undo.action.action_id


@pytest.mark.parametrize(("action_id", "code"), [("action-1", "nothing_to_undo"), ("action-3", "nothing_to_undo")])
def test_what_was_not_done_cannot_be_undone(client: TestClient, action_id: str, code: str) -> None:
    answer = client.post(f"{API}/actions/{action_id}/undo")
    assert (answer.status_code, answer.json()["code"]) == (409, code)


def test_the_audit_trail_of_all_this_verifies(client: TestClient) -> None:
    client.post(f"{ACTION}/approve")
    client.post(f"{GOAL}/cancel")
    client.post(f"{API}/actions/action-2/undo")
    audit = client.get(f"{API}/audit", params={"verify": True}).json()
    assert audit["verified"] is True
    assert len(audit["entries"]) == 3


def test_while_the_mode_is_off_a_person_is_asked_for_what_was_planned_before(
    client: TestClient, store: Store, tick: datetime
) -> None:
    auto = worlds.an_action("action-auto", tick, level=Autonomy.AUTO)
    store.actions.append([auto], "cycle-1")
    planned = [auto, worlds.an_undo(store, "action-2", tick)]
    assert client.get(f"{API}/actions/action-auto").json()["status"] == "scheduled"
    before = client.get(f"{API}/status").json()["pending_approvals"]
    client.post(f"{API}/mode", json={"autonomous": False})
    assert client.get(f"{API}/status").json()["pending_approvals"] == before + 2
    for action in planned:
        assert client.get(f"{API}/actions/{action.action_id}").json()["status"] == "waiting for approval"
        assert client.post(f"{API}/actions/{action.action_id}/approve").json()["done"] == "approved"


def test_a_pair_that_lost_its_autonomy_since_an_action_was_planned_waits_for_a_person(
    client: TestClient, store: Store, tick: datetime
) -> None:
    action = worlds.an_action("action-auto", tick, level=Autonomy.AUTO)
    store.actions.append([action], "cycle-1")
    store.facts.set(EARNED_LEVELS.of(f"{action.goal_type}:{action.name}"), EarnedLevel(Autonomy.APPROVE, None))
    assert client.get(f"{API}/actions/action-auto").json()["needs_approval"] is True
    assert client.post(f"{API}/actions/action-auto/approve").json()["done"] == "approved"


def test_a_second_yes_with_other_parameters_is_told_that_the_first_counts(client: TestClient) -> None:
    client.post(f"{ACTION}/approve", json={"by": "ann", "params": {"nice": 5}})
    assert client.post(f"{ACTION}/approve", json={"params": {"nice": 5}}).json()["note"] == "It was already."
    other = client.post(f"{ACTION}/approve", json={"by": "bob", "params": {"nice": 9}})
    assert (other.status_code, other.json()["code"]) == (409, "already_answered")
    assert "by local (ann) already with {'nice': 5}" in other.json()["detail"]


def test_a_parameter_that_was_not_planned_is_pointed_out(client: TestClient) -> None:
    answer = client.post(f"{ACTION}/approve", json={"params": {"niec": 5}}).json()
    assert answer["note"] == "Not among the planned parameters: niec."


def test_an_answered_action_does_not_say_any_more_that_it_waits_for_one(client: TestClient, store: Store) -> None:
    store.facts.set(WAITS, {"action-1": Wait("It waits for approval."), "action-9": Wait("It cools down.")})
    client.post(f"{ACTION}/approve")
    assert client.get(ACTION).json()["waits_for"] is None
    assert store.facts.get(WAITS) == {"action-9": Wait("It cools down.")}


def test_an_amount_is_held_to_what_the_configuration_allows(store: Store, tick: datetime, tmp_path: Path) -> None:
    workers = {"sets": "workers", "amounts": {"least": 1, "most": 6}}
    settings = load_settings(tmp_path, home=tmp_path, actions={"set_workers": workers}, sampler={"enabled": False})
    store.actions.append([worlds.an_action("action-amount", tick, name="set_workers", params={"amount": 2})], "cycle-1")
    app = create_app(settings, store=store, trigger=RecordingTrigger(), clock=lambda: tick)
    with TestClient(app, base_url=BASE) as client:
        path = f"{API}/actions/action-amount/approve"
        for amount in (500, 2.5, "many"):
            refused = client.post(path, json={"params": {"amount": amount}})
            assert (refused.status_code, refused.json()["code"]) == (422, "amount_not_allowed")
        assert "from 1 to 6 in steps of 1" in refused.json()["detail"]
        assert client.post(path, json={"params": {"amount": 5}}).json()["done"] == "approved"
