"""Whatever is amiss with one action is in its receipt, and the others are done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import pytest

from storage.records import Action, Event, Receipt, ReceiptStatus, Sample
from tasks.execute.task import act_once, execute
from tasks.interventions.undo import refusal_to_undo
from tasks.measure import fix_before_act
from tests.tasks.execute.acts import TICK, action_of, receipt_of
from tests.tasks.execute.bad_handlers import boom, dying, endless, rubbish, slow_in_a_thread
from tests.tasks.execute.conftest import Desk

ACT_ENDED_S = 60.0
"""Longer than the time limit of a handler and the time to end it."""


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
        act_once(context, view, fix_before_act)
        raise RuntimeError("the network is gone")

    stored = desk.store.actions.finish
    desk.store.actions.finish = lambda receipt: False  # type: ignore[method-assign]
    desk.plan(action_of("a"), action_of("b", target="db"))
    assert execute.fn(desk.context(), faulty) == ()
    desk.store.actions.finish = stored  # type: ignore[method-assign]
    receipts = desk.execute(desk.later(ACT_ENDED_S))
    assert {receipt.status for receipt in receipts.values()} == {ReceiptStatus.UNKNOWN}
    assert len(desk.marks) == 2


@pytest.mark.parametrize(
    ("handler", "status", "words"),
    [
        (boom, ReceiptStatus.FAILED, "the database is away"),
        (rubbish, ReceiptStatus.FAILED, "list instead of a dict"),
        (dying, ReceiptStatus.UNKNOWN, "exited with code 3"),
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


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ("succeeded", ReceiptStatus.SUCCEEDED),
        ("skipped", ReceiptStatus.FAILED),
        ("unknown", ReceiptStatus.UNKNOWN),
        ("what?", ReceiptStatus.UNKNOWN),
    ],
)
def test_of_an_act_whose_handler_was_killed_its_check_says_what_came_of_it(
    desk: Desk, answer: str, status: ReceiptStatus
) -> None:
    desk.register(dying, "bad")
    desk.actions["bad"] = replace(
        desk.actions["bad"], hooks=replace(desk.actions["bad"].hooks, check=lambda *_: answer)
    )
    desk.plan(action_of("a", name="bad"))
    assert desk.execute()["a"].status is status
    assert desk.execute() == {}


@pytest.mark.parametrize(
    ("answer", "status", "is_undone"),
    [
        ("succeeded", ReceiptStatus.SUCCEEDED, True),
        ("skipped", ReceiptStatus.FAILED, False),
        ("unknown", ReceiptStatus.TIMED_OUT, True),
    ],
)
def test_of_an_act_that_took_too_long_its_check_says_what_came_of_it(
    desk: Desk, answer: str, status: ReceiptStatus, is_undone: bool
) -> None:
    desk.register(endless, "bad", timeout_s=0.5)
    desk.actions["bad"] = replace(
        desk.actions["bad"], hooks=replace(desk.actions["bad"].hooks, check=lambda *_: answer)
    )
    desk.plan(action_of("a", name="bad"))
    assert desk.execute()["a"].status is status
    view = desk.store.actions.get("a")
    assert view is not None
    assert (refusal_to_undo(view, is_reversible=True) is None) is is_undone


def test_an_act_that_goes_on_behind_its_time_limit_is_not_asked_too_early(desk: Desk) -> None:
    desk.register(slow_in_a_thread, "bad", timeout_s=0.2)
    hooks = replace(desk.actions["bad"].hooks, check=lambda *_: "skipped")
    desk.actions["bad"] = replace(desk.actions["bad"], hooks=hooks, runs_in_process=True)
    desk.plan(action_of("a", name="bad"))
    assert desk.execute()["a"].status is ReceiptStatus.TIMED_OUT


def test_an_act_of_which_nobody_knows_what_it_did_can_be_undone(desk: Desk) -> None:
    desk.register(dying, "bad")
    desk.plan(action_of("a", name="bad"))
    desk.execute()
    view = desk.store.actions.get("a")
    assert view is not None
    assert refusal_to_undo(view, is_reversible=True) is None


def test_an_act_that_dies_without_an_answer_again_and_again_is_held(desk: Desk) -> None:
    desk.register(dying, "bad")
    for number in range(3):
        desk.plan(action_of(f"a{number}", name="bad", target=f"t{number}"))
        desk.execute()
    desk.plan(action_of("a3", name="bad", target="t3"))
    assert desk.execute() == {}


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
