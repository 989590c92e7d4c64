"""A sequence under way: one step after the other, each checked, and undone in reverse where one fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from storage.facts import SEQUENCE_ENDS, SequenceEnd
from storage.records import Action, Autonomy, GoalState, ReceiptStatus, Transition
from tests.tasks.execute.acts import GOAL, MINUTE, TICK, action_of, answer_of
from tests.tasks.execute.conftest import Desk

SEQUENCE = "sequence-1"
NAMES = ("one", "two", "three")


def set_up(desk: Desk, fails: str = "", *, missing: str = "", irreversible: str = "", **traits: Any) -> None:
    """Register three actions that note what they do; one fails, one is said by its check not to be there."""
    file = desk.folder / "marks"

    def note(word: str, name: str) -> dict[str, Any]:
        with file.open("a") as lines:
            lines.write(f"{word} {name}\n")
        return {"success": True}

    for name in NAMES:

        def run(params: Mapping[str, Any], goal_id: str, name: str = name) -> dict[str, Any]:
            return {"success": False, "detail": "no"} if name == fails else note("do", name)

        def undo(params: Any, before: Any, context: Any, name: str = name) -> dict[str, Any]:
            return note("undo", name)

        def check(params: Any, before: Any, context: Any, name: str = name) -> str:
            return "skipped" if name == missing else "succeeded"

        hooks = {"check": check} if name == irreversible else {"check": check, "undo": undo}
        desk.register(run, name, hooks=hooks, runs_in_process=True, **traits)


def steps(at: timedelta = timedelta(0), **changes: Any) -> list[Action]:
    common = {"sequence_id": SEQUENCE, "steps": NAMES, "horizon_s": 60.0} | changes
    return [
        action_of(f"s{n}", name=name, target=name, position=n, due_at=TICK + n * at, **common)
        for n, name in enumerate(NAMES)
    ]


def end_of(desk: Desk) -> SequenceEnd:
    end = desk.store.facts.get(SEQUENCE_ENDS.of(SEQUENCE))
    assert end is not None
    return end


def test_steps_are_done_in_their_order_whatever_their_ids_say(desk: Desk) -> None:
    set_up(desk)
    wanted = [each.model_copy(update={"action_id": f"z{9 - each.position}"}) for each in steps()]
    desk.plan(*wanted)
    desk.execute()
    assert desk.marks == ["do one", "do two", "do three"]
    assert end_of(desk).how == "done"


def test_a_step_waits_until_the_one_before_it_works(desk: Desk) -> None:
    set_up(desk)
    desk.plan(*steps(at=2 * MINUTE))
    desk.execute()
    assert desk.marks == ["do one"]
    desk.execute(TICK + MINUTE)
    assert desk.marks == ["do one"]
    desk.execute(TICK + 3 * MINUTE)
    assert desk.marks == ["do one", "do two"], "the third begins two minutes after the second was really done"
    desk.execute(TICK + 5 * MINUTE)
    assert desk.marks == ["do one", "do two", "do three"]


@pytest.mark.parametrize(
    ("fails", "marks"),
    [
        ("one", []),
        ("two", ["do one", "undo one"]),
        ("three", ["do one", "do two", "undo two", "undo one"]),
    ],
)
def test_what_was_done_before_a_step_failed_is_undone_last_first(desk: Desk, fails: str, marks: list[str]) -> None:
    set_up(desk, fails)
    desk.plan(*steps())
    desk.execute()
    assert desk.marks == marks
    assert end_of(desk).how == "undone"
    assert f"{fails} ended as failed." in end_of(desk).reason
    assert not desk.store.actions.pending()


@pytest.mark.parametrize("missing", NAMES)
def test_a_step_that_its_check_does_not_find_has_failed_though_it_said_otherwise(desk: Desk, missing: str) -> None:
    set_up(desk, missing=missing)
    desk.plan(*steps())
    desk.execute()
    done = NAMES[: NAMES.index(missing) + 1]
    assert desk.marks == [*(f"do {name}" for name in done), *(f"undo {name}" for name in reversed(done[:-1]))]
    assert "did not take effect" in end_of(desk).reason


def test_what_cannot_be_undone_is_told_and_the_rest_is_undone(desk: Desk) -> None:
    set_up(desk, "three", irreversible="two")
    desk.plan(*steps())
    desk.execute()
    assert desk.marks == ["do one", "do two", "undo one"]
    assert end_of(desk).how == "left"
    assert "Still in place, as far as is known: two." in end_of(desk).reason


def test_what_a_step_that_stays_stands_on_is_left_alone(desk: Desk) -> None:
    set_up(desk, "three", irreversible="two")
    desk.actions["one"] = replace(desk.actions["one"], provides=("ground",), latency_s=0.0)
    desk.actions["two"] = replace(desk.actions["two"], requires=("ground",))
    desk.plan(*steps())
    desk.execute()
    assert desk.marks == ["do one", "do two"]
    assert "two, one" in end_of(desk).reason


def test_once_a_step_is_taken_back_the_others_are_as_well(desk: Desk) -> None:
    set_up(desk)
    desk.plan(*steps())
    desk.execute()
    desk.plan_undo("s2")
    desk.execute(TICK + MINUTE)
    assert desk.marks[3:] == ["undo three", "undo two", "undo one"]
    assert end_of(desk).how == "undone"


def test_where_the_goal_is_met_in_between_what_was_done_stays(desk: Desk) -> None:
    set_up(desk)
    desk.plan(*steps(at=MINUTE))
    desk.execute()
    met = Transition(goal_id=GOAL, state=GoalState.ACHIEVED, at=TICK, reason="met", progress=1.0)
    desk.store.goals.move([met], "cycle-1")
    desk.execute(TICK + 2 * MINUTE)
    assert desk.marks == ["do one"]
    assert (end_of(desk).how, end_of(desk).reason) == ("stopped", "Its goal is met.")
    assert not desk.store.actions.pending()


def test_where_the_goal_is_given_up_in_between_what_was_done_is_undone(desk: Desk) -> None:
    set_up(desk)
    desk.plan(*steps(at=MINUTE))
    desk.execute()
    cancelled = Transition(goal_id=GOAL, state=GoalState.CANCELLED, at=TICK, reason="no", progress=0.0)
    desk.store.goals.move([cancelled], "cycle-1")
    desk.execute(TICK + 2 * MINUTE)
    assert desk.marks == ["do one", "undo one"]


def test_the_kill_switch_holds_the_next_step_and_then_it_goes_on(desk: Desk) -> None:
    set_up(desk)
    desk.plan(*steps(at=MINUTE))
    desk.execute()
    switch = desk.settings.kill_switch_path
    switch.parent.mkdir(parents=True, exist_ok=True)
    switch.touch()
    desk.execute(TICK + 2 * MINUTE)
    assert desk.marks == ["do one"]
    switch.unlink()
    desk.execute(TICK + 3 * MINUTE)
    desk.execute(TICK + 4 * MINUTE)
    assert desk.marks == ["do one", "do two", "do three"]


def test_one_answer_of_a_person_is_for_all_steps(desk: Desk) -> None:
    set_up(desk)
    desk.plan(*steps(level=Autonomy.APPROVE))
    desk.execute()
    assert desk.marks == []
    desk.store.actions.approve(answer_of("s0"))
    desk.execute(TICK + MINUTE)
    assert desk.marks == ["do one", "do two", "do three"]


def test_a_no_to_the_first_step_ends_it_before_anything_is_done(desk: Desk) -> None:
    set_up(desk)
    desk.plan(*steps(level=Autonomy.APPROVE))
    desk.store.actions.approve(answer_of("s0", approved=False))
    desk.execute()
    assert desk.marks == []
    assert end_of(desk).how == "stopped"
    assert not desk.store.actions.pending()


def test_it_does_not_begin_while_a_guard_would_hold_a_later_step(desk: Desk) -> None:
    set_up(desk)
    desk.overrides = {"actions": {"two": {"rate_limits": ["1/hour"]}}}
    desk.plan(action_of("earlier", name="two", target="x", series=None))
    desk.execute()
    assert desk.marks == ["do two"]
    desk.plan(*steps())
    desk.execute(TICK + MINUTE)
    assert desk.marks == ["do two"]
    desk.hear(TICK + 61 * MINUTE)
    desk.execute(TICK + 59 * MINUTE)
    assert desk.marks == ["do two"]


def test_an_act_that_requires_what_does_not_hold_waits_for_it(desk: Desk) -> None:
    set_up(desk)
    desk.actions["one"] = replace(desk.actions["one"], provides=("ground",), latency_s=0.0)
    desk.actions["two"] = replace(desk.actions["two"], requires=("ground",))
    desk.plan(action_of("b", name="two", target="x"))
    desk.execute()
    assert desk.marks == []
    desk.plan(action_of("a", name="one", target="y"))
    desk.execute(TICK + MINUTE)
    desk.execute(TICK + 2 * MINUTE)
    assert desk.marks == ["do one", "do two"]


def test_a_sequence_that_ended_is_written_down_once(desk: Desk) -> None:
    set_up(desk, "two")
    desk.plan(*steps())
    for minute in range(4):
        desk.execute(TICK + minute * MINUTE)
    lines = [line for line in desk.store.audit.latest(100) if line.verb == "sequence ended"]
    assert [line.subject for line in lines] == [SEQUENCE]
    assert desk.store.actions.get("s2").receipt.status is ReceiptStatus.SKIPPED  # type: ignore[union-attr]
