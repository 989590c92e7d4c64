"""What is due is done once, in the order intent, act, receipt, whatever a handler does."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import psutil
import pytest

from handlers import discover_actions
from storage.records import Action, Autonomy, Event, Intent, Receipt, ReceiptStatus, Sample
from tasks.execute import WAITS_FACT
from tasks.execute.situation import silence_now
from tasks.execute.task import act_once, execute
from tasks.measure.task import plan_undo
from tests.execute.acts import GOAL, SERIES, TICK, action_of, answer_of, goal_of, opening, receipt_of
from tests.execute.bad_handlers import boom, dying, endless, rubbish
from tests.execute.conftest import Desk

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
    runs = [threading.Thread(target=lambda: receipts.append(act_once(context, view))) for _ in range(2)]
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
    undo = plan_undo(desk.context(), action_of("a", params={"n": 1, "m": 1}), "it got worse")
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


def test_an_action_that_cannot_even_be_judged_is_given_up_and_the_next_is_done(desk: Desk) -> None:
    desk.register(desk.marking(), "bad", rate_limits=("now and then",))
    desk.plan(action_of("a", name="bad", priority=0.9), action_of("b"))
    receipts = desk.execute()
    assert receipts["a"].status is ReceiptStatus.SKIPPED
    assert "Write it like" in receipts["a"].detail
    assert receipts["b"].status is ReceiptStatus.SUCCEEDED
    assert desk.execute() == {}


def test_a_fault_after_the_intent_is_resolved_later_by_looking(desk: Desk) -> None:
    """Nobody can know what was done before the fault."""

    def faulty(context: Any, view: Any) -> Receipt | None:
        act_once(context, view)
        raise RuntimeError("the network is gone")

    stored = desk.store.actions.finish
    desk.store.actions.finish = lambda receipt: False  # type: ignore[method-assign]
    desk.plan(action_of("a"), action_of("b", target="db"))
    assert execute.fn(desk.context(), faulty) == ()
    desk.store.actions.finish = stored  # type: ignore[method-assign]
    receipts = desk.execute(desk.later(ACT_ENDED_S))
    assert {receipt.status for receipt in receipts.values()} == {ReceiptStatus.UNKNOWN}
    assert len(desk.marks) == 2


def test_what_an_action_waits_for_is_kept_until_it_is_done(desk: Desk) -> None:
    desk.overrides = {"agent": {"autonomous_mode": False}}
    desk.plan(action_of("a"), action_of("b", target="db", due_at=desk.later(3_000)))
    desk.execute()
    waits = desk.store.facts.get(WAITS_FACT)
    assert list(waits) == ["a"]
    assert "Autonomous mode is off" in waits["a"]
    desk.overrides = {}
    desk.execute()
    assert desk.store.facts.get(WAITS_FACT) == {}


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


@pytest.mark.parametrize(
    ("handler", "status", "words"),
    [
        (boom, ReceiptStatus.FAILED, "the database is away"),
        (rubbish, ReceiptStatus.FAILED, "list instead of a dict"),
        (dying, ReceiptStatus.FAILED, "exit code 3"),
        (endless, ReceiptStatus.TIMED_OUT, "did not return within 0.5 s"),
    ],
)
def test_whatever_a_handler_does_its_receipt_says_so_and_the_next_action_is_done(
    desk: Desk, handler: Any, status: ReceiptStatus, words: str
) -> None:
    desk.register(handler, "bad", timeout_s=0.5 if handler is endless else 20.0)
    desk.plan(action_of("a", name="bad", priority=0.9), action_of("b"))
    receipts = desk.execute()
    assert receipts["a"].status is status
    assert words in receipts["a"].detail
    assert receipts["b"].status is ReceiptStatus.SUCCEEDED
    assert len(desk.marks) == 1


def test_an_action_without_a_handler_fails_with_a_remedy(desk: Desk) -> None:
    desk.plan(action_of(name="gone"))
    receipt = desk.execute()["a"]
    assert receipt.status is ReceiptStatus.FAILED
    assert "register it" in receipt.detail


@dataclass
class StubbornWorld:
    """A world that offers the two methods, and misbehaves in one of them."""

    answer: Any
    acts: list[str] = field(default_factory=list)

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        yield from ()

    def act(self, action: Action, tick: datetime) -> Any:
        self.acts.append(action.action_id)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("answer", [RuntimeError("no power"), None, {"success": True}, receipt_of("another", TICK)])
def test_a_world_that_raises_or_returns_rubbish_gives_a_failed_receipt(desk: Desk, answer: Any) -> None:
    world = StubbornWorld(answer)
    desk.world = world
    desk.plan(action_of("a"), action_of("b", target="db"))
    receipts = desk.execute()
    assert {receipt.status for receipt in receipts.values()} == {ReceiptStatus.FAILED}
    assert world.acts == ["a", "b"]
    assert desk.execute(desk.later(ACT_ENDED_S)) == {}


def test_a_state_that_cannot_be_captured_skips_the_act(desk: Desk) -> None:
    def vanish(params: dict[str, Any], context: Any) -> dict[str, Any]:
        raise ProcessLookupError("it has ended")

    desk.register(desk.marking(), hooks={"capture": vanish})
    desk.plan(action_of())
    receipt = desk.execute()["a"]
    assert receipt.status is ReceiptStatus.SKIPPED
    assert "it has ended" in receipt.detail
    assert desk.marks == []


def test_an_undo_restores_what_was_captured_and_what_the_act_kept(desk: Desk) -> None:
    restored: list[Any] = []
    hooks = {
        "capture": lambda params, context: {"size": 3},
        "undo": lambda params, before, context: restored.append(dict(before)) or {"success": True},
    }
    desk.register(desk.marking(undo={"ticket": 7}), hooks=hooks, runs_in_process=True)
    desk.plan(action_of())
    desk.execute()
    undo = plan_undo(desk.context(), action_of(), "it got worse")
    assert plan_undo(desk.context(), action_of(), "it got worse").action_id == undo.action_id
    assert desk.execute()[undo.action_id].status is ReceiptStatus.SUCCEEDED
    assert desk.execute() == {}
    assert restored == [{"size": 3, "ticket": 7}]


def test_what_was_switched_off_since_can_still_be_undone(desk: Desk) -> None:
    desk.register(desk.marking(), hooks={"undo": lambda params, before, context: {"success": True}})
    desk.plan(action_of())
    desk.execute()
    desk.overrides = {"actions": {"restart": {"enabled": False}}}
    undo = plan_undo(desk.context(), action_of(), "it got worse")
    assert desk.execute()[undo.action_id].status is ReceiptStatus.SUCCEEDED


def test_an_undo_that_fails_says_so_and_holds_the_action_until_a_person_approves_it(desk: Desk) -> None:
    hooks = {"undo": lambda params, before, context: {"success": False, "detail": "the volume is gone"}}
    desk.register(desk.marking(), hooks=hooks)
    desk.plan(action_of("a"))
    desk.execute()
    undo = plan_undo(desk.context(), action_of("a"), "it got worse")
    receipt = desk.execute(desk.later(60))[undo.action_id]
    assert receipt.status is ReceiptStatus.FAILED
    assert "the volume is gone" in receipt.detail
    (line,) = [line for line in desk.store.audit.latest() if line.verb == "undo failed"]
    assert line.subject == undo.action_id
    assert "by hand" in line.detail["remedy"]
    desk.plan(action_of("b", at=desk.clock.now))
    assert desk.execute(desk.later(60)) == {}
    assert desk.store.actions.approve(answer_of("b", at=desk.clock.now))
    assert desk.execute()["b"].status is ReceiptStatus.SUCCEEDED


def test_at_most_so_many_goals_are_acted_for_in_a_turn_and_the_weightiest_first(desk: Desk) -> None:
    desk.overrides = {"executor": {"max_concurrent_goals": 2}}
    goals = [goal_of(f"goal-{n}", cause=f"cause-{n}") for n in range(2, 5)]
    desk.store.goals.append(goals, [opening(goal) for goal in goals], "cycle-1")
    for n, goal in enumerate(goals):
        desk.plan(action_of(f"a{n}", goal_id=goal.goal_id, target=f"t{n}", priority=n / 10))
    assert sorted(desk.execute()) == ["a1", "a2"]
    assert sorted(desk.execute(desk.later(61))) == ["a0"]


def test_undoing_what_was_never_done_is_skipped(desk: Desk) -> None:
    desk.plan(action_of("u", undo_of="never"))
    receipt = desk.execute()["u"]
    assert receipt.status is ReceiptStatus.SKIPPED
    assert "nothing to undo" in receipt.detail


@pytest.fixture
def child() -> Iterator[psutil.Process]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs to take one away"
)
def test_a_real_process_is_confined_and_gets_its_cpus_back(desk: Desk, child: psutil.Process) -> None:
    desk.actions = discover_actions()
    # What foreact started belongs to foreact; this process stands for a load of somebody else.
    params = {"pid": child.pid, "create_time": child.create_time(), "name": child.name(), "cpus": 1}
    desk.overrides = {"actions": {"limit_process_affinity": {"allow_names": [child.name()], "level": "auto"}}}
    all_cpus = child.cpu_affinity()
    desk.plan(action_of(name="limit_process_affinity", params=params))
    receipt = desk.execute()["a"]
    if "foreact itself" in receipt.detail:
        pytest.skip("this runs inside foreact's own process tree")
    assert receipt.status is ReceiptStatus.SUCCEEDED, receipt.detail
    assert len(child.cpu_affinity()) == 1
    undo = plan_undo(desk.context(), action_of(name="limit_process_affinity", params=params), "it got worse")
    receipt = desk.execute()[undo.action_id]
    assert receipt.status is ReceiptStatus.SUCCEEDED, receipt.detail
    assert child.cpu_affinity() == all_cpus


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


def test_a_series_is_silent_after_five_of_its_own_gaps(desk: Desk) -> None:
    hourly = goal_of("goal-2", series="cost")
    desk.store.goals.append([hourly], [opening(hourly)], "cycle-1")
    for hours in range(48, 0, -1):
        desk.hear(TICK - timedelta(hours=hours), "cost")
    for minutes in range(120, 0, -1):
        desk.hear(TICK - timedelta(minutes=60 + minutes), "latency")
    desk.hear(TICK - timedelta(days=60), "forgotten")
    assert silence_now(desk.context()).series == {"latency", "forgotten"}
    assert silence_now(desk.context(TICK + timedelta(hours=5))).series == {SERIES, "cost", "latency", "forgotten"}


def test_a_metric_is_silent_when_none_of_its_series_is_heard(desk: Desk) -> None:
    for host, days in (("a", 60), ("b", 0)):
        desk.store.samples.append(
            [Sample(metric="load", value=1.0, ts=TICK - timedelta(days=days), labels={"host": host})]
        )
    desk.hear(TICK - timedelta(days=60), "forgotten")
    silence = silence_now(desk.context())
    assert silence.series == {'load{host="a"}', "forgotten"}
    assert silence.metrics == {"forgotten"}


def test_an_action_whose_guard_is_silent_waits(desk: Desk) -> None:
    desk.hear(TICK - timedelta(days=2), "latency")
    desk.plan(action_of(guards=("latency",)))
    assert desk.execute() == {}
    desk.hear(TICK, "latency")
    assert desk.execute()["a"].status is ReceiptStatus.SUCCEEDED


def test_an_action_on_a_silent_series_waits_and_goes_when_it_speaks_again(desk: Desk) -> None:
    later = TICK + timedelta(minutes=30)
    desk.plan(action_of(at=later, goal_id=GOAL))
    assert desk.execute(later) == {}
    desk.hear(later)
    assert desk.execute(later)["a"].status is ReceiptStatus.SUCCEEDED
