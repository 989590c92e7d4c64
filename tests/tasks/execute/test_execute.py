"""What is due is done once, in the order intent, act, receipt, whatever a handler does."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from storage.facts import WAITS, WaitCode
from storage.records import Action, Autonomy, Intent, Receipt, ReceiptStatus
from tasks.execute.task import act_once, act_task
from tasks.measure import fix_before_act
from tests.tasks.execute.acts import TICK, action_of, answer_of, goal_of, opening, receipt_of, waiting
from tests.tasks.execute.bad_handlers import boom
from tests.tasks.execute.conftest import Desk

ACT_ENDED_S = 60.0
"""Longer than the time limit of a handler and the time to end it."""


def began(desk: Desk, action: Action, before: dict[str, Any] | None = None) -> None:
    """Leave an action as a crash leaves it: with an intent and no receipt."""
    desk.plan(action)
    desk.store.actions.claim(Intent(action_id=action.action_id, at=desk.clock.now, before=before or {}))


def test_the_intent_is_there_before_the_act_and_the_receipt_only_after(desk: Desk) -> None:
    seen: list[tuple[bool, bool]] = []

    def look(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        view = desk.store.actions.get("a")
        assert view is not None
        seen.append((view.intent is not None, view.receipt is not None))
        return {"success": True}

    desk.register(look, runs_in_process=True)
    desk.plan(action_of())
    assert desk.execute()["a"].status is ReceiptStatus.SUCCEEDED
    assert seen == [(True, False)]
    view = desk.store.actions.get("a")
    assert view is not None
    assert view.receipt is not None


@pytest.mark.parametrize(("target", "name"), [("web", "restart web"), ("", "restart")])
def test_a_task_run_is_called_by_its_action_and_its_target(target: str, name: str) -> None:
    view = waiting(target=target)
    assert str(act_task.task_run_name).format(view=view) == name


def test_an_action_is_done_once_however_often_the_stage_runs(desk: Desk) -> None:
    desk.plan(action_of(params={"service": "web"}))
    assert desk.execute()["a"].status is ReceiptStatus.SUCCEEDED
    assert desk.execute() == {}
    assert desk.execute(desk.later(300)) == {}
    assert desk.marks == ["{'service': 'web'}"]


def test_of_two_runs_at_once_one_acts(desk: Desk) -> None:
    desk.plan(action_of())
    view = desk.store.actions.due(TICK)[0]
    context = desk.context()
    receipts: list[Receipt | None] = []
    runs = [threading.Thread(target=lambda: receipts.append(act_once(context, view, fix_before_act))) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(receipt is None for receipt in receipts) == [False, True]
    assert len(desk.marks) == 1


def test_the_weightier_action_goes_first(desk: Desk) -> None:
    desk.plan(
        action_of("light", priority=0.1, params={"n": 1}, target="db"), action_of("heavy", priority=0.9, params={})
    )
    desk.execute()
    assert desk.marks == ["{}", "{'n': 1}"]


def test_what_a_turn_has_done_counts_for_the_rest_of_it(desk: Desk) -> None:
    desk.overrides = {"executor": {"rate_limits": ["1/hour"]}}
    desk.plan(action_of("a"), action_of("b", target="db"))
    assert len(desk.execute()) == 1
    assert len(desk.marks) == 1


def test_an_action_that_is_under_way_elsewhere_is_left_alone(desk: Desk) -> None:
    """A cycle and a tend may run side by side."""
    began(desk, action_of())
    assert desk.execute(desk.later(5)) == {}
    desk.store.actions.finish(receipt_of("a", desk.clock.now))
    view = desk.store.actions.get("a")
    assert view is not None
    assert view.receipt is not None
    assert view.receipt.status is ReceiptStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ("succeeded", ReceiptStatus.SUCCEEDED),
        ("skipped", ReceiptStatus.SKIPPED),
        ("rubbish", ReceiptStatus.UNKNOWN),
        (None, ReceiptStatus.UNKNOWN),
    ],
)
def test_an_interrupted_action_is_resolved_by_looking_and_never_run_again(
    desk: Desk, found: str | None, status: ReceiptStatus
) -> None:
    hooks = {"check": lambda params, before, context: found} if found else {}
    desk.register(desk.marking(), hooks=hooks)
    began(desk, action_of())
    receipt = desk.execute(desk.later(ACT_ENDED_S))["a"]
    assert receipt.status is status
    assert receipt.started_at == TICK
    assert "interrupted" in receipt.detail
    assert desk.execute(desk.later(300)) == {}
    assert desk.marks == []


def test_an_interrupted_action_is_resolved_although_the_clock_was_set_back(desk: Desk) -> None:
    began(desk, action_of(due_at=TICK - timedelta(days=2)))
    assert desk.execute(TICK - timedelta(days=1))["a"].status is ReceiptStatus.UNKNOWN


def test_the_parameters_that_a_person_changed_reach_act_check_and_undo(desk: Desk) -> None:
    hooks = {
        "check": lambda params, before, context: "succeeded" if params == {"n": 2, "m": 1} else "unknown",
        "undo": lambda params, before, context: {"success": params == {"n": 2, "m": 1}},
    }
    desk.register(desk.marking(), hooks=hooks)
    desk.plan(action_of("a", params={"n": 1, "m": 1}, level=Autonomy.APPROVE))
    assert desk.execute() == {}
    assert desk.store.actions.approve(answer_of("a", params={"n": 2}))
    assert desk.execute()["a"].status is ReceiptStatus.SUCCEEDED
    assert desk.marks == ["{'n': 2, 'm': 1}"]
    undo = desk.plan_undo("a")
    assert desk.execute()[undo.action_id].status is ReceiptStatus.SUCCEEDED
    desk.store.actions.approve(answer_of("b", params={"n": 2}))
    began(desk, action_of("b", params={"n": 1, "m": 1}))
    assert desk.execute(desk.later(ACT_ENDED_S))["b"].status is ReceiptStatus.SUCCEEDED


def test_only_the_first_answer_counts(desk: Desk) -> None:
    desk.plan(action_of(level=Autonomy.APPROVE))
    assert desk.store.actions.approve(answer_of(approved=False))
    assert not desk.store.actions.approve(answer_of(approved=True, by="bob"))
    assert desk.execute()["a"].status is ReceiptStatus.SKIPPED
    assert desk.marks == []


def test_a_file_that_anybody_can_touch_stops_every_act(desk: Desk) -> None:
    desk.plan(action_of())
    stop = desk.settings.kill_switch_path
    stop.touch()
    assert desk.execute() == {}
    stop.unlink()
    assert desk.execute()["a"].status is ReceiptStatus.SUCCEEDED


def test_a_kill_switch_that_comes_in_the_middle_of_a_turn_stops_the_rest_of_it(desk: Desk) -> None:
    stop = desk.settings.kill_switch_path

    def act(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        stop.touch()
        return {"success": True}

    desk.register(act)
    desk.plan(action_of("a", priority=0.9), action_of("b", target="db"))
    assert list(desk.execute()) == ["a"]


def test_what_an_action_waits_for_is_kept_until_it_is_done(desk: Desk) -> None:
    desk.overrides = {"agent": {"autonomous_mode": False}}
    desk.plan(action_of("a"), action_of("b", target="db", due_at=desk.later(3_000)))
    desk.execute()
    waits = desk.store.facts.get(WAITS)
    assert list(waits) == ["a"]
    assert "Autonomous mode is off" in waits["a"].reason
    assert waits["a"].code is WaitCode.MODE_OFF
    desk.overrides = {}
    desk.execute()
    assert desk.store.facts.get(WAITS) == {}


def test_with_the_mode_off_nothing_is_done(desk: Desk) -> None:
    desk.overrides = {"agent": {"autonomous_mode": False}}
    desk.plan(action_of())
    assert desk.execute() == {}
    assert desk.marks == []


@pytest.mark.parametrize(
    ("overrides", "requested"),
    [({"executor": {"dry_run": True}}, False), ({"actions": {"restart": {"dry_run": True}}}, False), ({}, True)],
    ids=["all actions", "this action", "this request"],
)
def test_a_dry_run_touches_nothing_and_starts_no_cooldown(
    desk: Desk, overrides: dict[str, Any], requested: bool
) -> None:
    desk.overrides = overrides
    desk.register(desk.marking(), cooldown_s=3_600.0)
    desk.plan(action_of("a", dry_run=requested))
    assert desk.execute()["a"].status is ReceiptStatus.DRY_RUN
    assert desk.marks == []
    desk.overrides = {}
    desk.plan(action_of("b"))
    assert desk.execute()["b"].status is ReceiptStatus.SUCCEEDED


def test_at_most_so_many_goals_are_acted_for_in_a_turn_and_the_weightiest_first(desk: Desk) -> None:
    desk.overrides = {"executor": {"max_concurrent_goals": 2}}
    goals = [goal_of(f"goal-{n}", cause=f"cause-{n}") for n in range(2, 5)]
    desk.store.goals.append(goals, [opening(goal) for goal in goals], "cycle-1")
    for n, goal in enumerate(goals):
        desk.plan(action_of(f"a{n}", goal_id=goal.goal_id, target=f"t{n}", priority=n / 10))
    assert sorted(desk.execute()) == ["a1", "a2"]
    assert sorted(desk.execute(desk.later(61))) == ["a0"]


def test_everything_that_was_done_is_a_line_of_the_audit_trail(desk: Desk) -> None:
    desk.register(boom, "bad")
    desk.plan(action_of("a"), action_of("b", name="bad"), action_of("c", goal_id="closed"))
    desk.execute()
    lines = {line.subject: line for line in desk.store.audit.latest() if line.verb == "acted"}
    assert {subject: line.detail["status"] for subject, line in lines.items()} == {
        "a": "succeeded",
        "b": "failed",
        "c": "skipped",
    }
    assert desk.store.audit.first_broken_line() is None
    desk.store.engine.rows("UPDATE audit SET detail = '{}' WHERE seq = 2")
    assert desk.store.audit.first_broken_line() == 2
