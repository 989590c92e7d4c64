"""Which facts hold by the acts in force, and what is said of declarations that make no sense."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from handlers import ActionHandler, elsewhere
from storage.actions import ActionView
from storage.records import Action, Autonomy, GoalType, Receipt, ReceiptStatus
from tasks.interventions.declared_facts import declared_facts, doubts_about, facts_held

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def action(name: str, requires: str = "", provides: str = "", **more: Any) -> ActionHandler:
    named = {"requires": tuple(filter(None, [requires])), "provides": tuple(filter(None, [provides]))}
    return elsewhere(name, reversible=True, **named, **more)


def done(name: str, at: datetime, status: ReceiptStatus = ReceiptStatus.SUCCEEDED, **more: Any) -> ActionView:
    act = Action(
        action_id=f"{name} {at:%H%M}",
        name=name,
        goal_id="g",
        goal_type=GoalType.BOTTLENECK_PREVENTION,
        plan_id="p",
        decision_id="d",
        level=Autonomy.AUTO,
        created_at=at,
        due_at=at,
        expires_at=at + MINUTE,
        **more,
    )
    return ActionView(act, None, None, Receipt(action_id=act.action_id, status=status, started_at=at, finished_at=at))


def held(acts: list[ActionView], *actions: ActionHandler, at: datetime = NOON, **more: Any) -> frozenset[str]:
    options = {"undone": (), "reported": {}} | more
    return facts_held(acts, {each.name: each for each in actions}, tick=at, **options)


def test_a_fact_holds_from_when_its_act_works_until_it_does_no_more() -> None:
    start = action("start", provides="up", latency_s=60.0, duration_s=600.0)
    acts = [done("start", NOON)]
    moments = {minutes: held(acts, start, at=NOON + minutes * MINUTE) for minutes in (0, 1, 10, 11)}
    assert moments == {0: frozenset(), 1: {"up"}, 10: {"up"}, 11: frozenset()}


@pytest.mark.parametrize("status", [each for each in ReceiptStatus if each is not ReceiptStatus.SUCCEEDED])
def test_what_did_not_surely_succeed_provides_nothing(status: ReceiptStatus) -> None:
    assert held([done("start", NOON, status)], action("start", provides="up")) == frozenset()


def test_what_was_undone_or_only_rehearsed_provides_nothing() -> None:
    start, act = action("start", provides="up"), done("start", NOON)
    assert held([act], start) == {"up"}
    assert held([act], start, undone={act.action.action_id}) == frozenset()
    assert held([done("start", NOON, dry_run=True)], start) == frozenset()


def test_a_later_act_ends_what_an_earlier_one_provided() -> None:
    start, stop = action("start", provides="up"), action("stop", provides="not up")
    assert held([done("start", NOON - MINUTE), done("stop", NOON)], start, stop) == frozenset()
    assert held([done("stop", NOON - MINUTE), done("start", NOON)], start, stop) == {"up"}


def test_what_is_reported_goes_before_what_acts_say() -> None:
    start, act = action("start", provides="up"), done("start", NOON)
    assert held([act], start, reported={"up": False}) == frozenset()
    assert held([], start, reported={"up": True, "warm": True}) == {"up", "warm"}


def doubts(*actions: ActionHandler) -> str:
    return "\n".join(doubts_about({each.name: each for each in actions}))


def test_sound_declarations_and_none_at_all_leave_nothing_to_say() -> None:
    assert doubts(action("a"), action("b")) == ""
    assert doubts(action("a", provides="x"), action("b", "x", "y"), action("c", "y"), action("d", "not x")) == ""


def test_a_fact_that_nobody_provides_is_named() -> None:
    assert doubts(action("b", "standy")) == "b requires standy, which no action provides or reports: it waits for that."


def test_a_fact_that_a_handler_may_report_is_known() -> None:
    reporting = action("b", "standby")
    reporting = replace(reporting, hooks=replace(reporting.hooks, holds=lambda context: ["standby"]))
    assert doubts(reporting) == ""


def test_cycles_are_named_with_all_that_are_in_them() -> None:
    assert doubts(action("a", "x", "y"), action("b", "y", "x")) == (
        "a and b require of each other what only they provide: none of them can ever begin."
    )
    assert doubts(action("a", "x", "x")) == "a requires what only it provides, directly or not: it can never begin."


def test_contradictions_are_named_and_not_counted_on() -> None:
    both = replace(action("a"), provides=("x", "not x", "y"))
    assert doubts(both) == "a provides both not x and x: neither is counted on."
    assert declared_facts({"a": both})["a"].provides == {"y"}
    assert "it can never begin" in doubts(replace(action("b"), requires=("x", "not x")), action("c", provides="x"))


def test_what_is_switched_off_or_only_informs_declares_nothing_that_counts() -> None:
    off, told = action("a", "x", "y", enabled=False), action("b", "", "y", informs_only=True)
    assert declared_facts({"a": off, "b": told}) == {}
