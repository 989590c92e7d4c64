"""What the loop may do follows the cautious word, and of two that disagree the newer one."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.wiring import new_cycle
from handlers import ActionsByName, elsewhere
from settings import Settings, load_settings
from storage import Store
from storage.actions import ActionView
from storage.migrations import MIGRATIONS, migrate
from storage.records import Autonomy, GoalType, ReceiptStatus
from tasks.authority import earn, hold_everything, is_autonomous, level_in_force, switch
from tasks.configured_actions import configured_actions, declared_actions
from tasks.execute.guards import Circumstances, GuardAnswer, judge
from tests.tasks.execute.acts import TICK, action_of
from tests.tasks.execute.conftest import Desk

GOAL = GoalType.BOTTLENECK_PREVENTION


def configured(folder: Path, autonomous: bool = True, **action: Any) -> Settings:
    return load_settings(folder, agent={"autonomous_mode": autonomous}, actions={"restart": action})


def level(store: Store, settings: Settings) -> Autonomy:
    return level_in_force(store, GOAL, configured_actions(settings)["restart"])


@pytest.mark.parametrize("autonomous", [True, False])
def test_without_a_switch_the_configuration_decides(store: Store, tmp_path: Path, autonomous: bool) -> None:
    assert is_autonomous(configured(tmp_path, autonomous), store) is autonomous


def test_a_stop_counts_where_the_disk_has_no_room_for_its_reason(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    settings = configured(tmp_path)
    hold_everything(settings, "smoke")
    assert not is_autonomous(settings, store)


def test_off_by_switch_stays_off_whatever_the_configuration_becomes(store: Store, tmp_path: Path) -> None:
    switch(configured(tmp_path, True), store, False, "ada")
    assert not is_autonomous(configured(tmp_path, False), store)
    assert not is_autonomous(configured(tmp_path, True), store)


def test_on_by_switch_counts_against_a_configuration_that_was_known_to_say_no(store: Store, tmp_path: Path) -> None:
    switch(configured(tmp_path, False), store, True, "ada")
    assert is_autonomous(configured(tmp_path, False), store)


def test_a_configuration_that_says_no_later_outranks_an_older_switch(store: Store, tmp_path: Path) -> None:
    switch(configured(tmp_path, True), store, True, "ada")
    assert not is_autonomous(configured(tmp_path, False), store)


def test_a_no_that_came_back_to_the_configuration_counts_anew(store: Store, tmp_path: Path) -> None:
    switch(configured(tmp_path, False), store, True, "ada")
    new_cycle(configured(tmp_path, True), store, TICK)
    assert not is_autonomous(configured(tmp_path, False), store)


def test_the_kill_switch_outranks_everything(store: Store, tmp_path: Path) -> None:
    settings = configured(tmp_path, True)
    settings.kill_switch_path.parent.mkdir(parents=True, exist_ok=True)
    settings.kill_switch_path.touch()
    switch(settings, store, True, "ada")
    assert not is_autonomous(settings, store)


def test_an_earned_level_counts_until_another_is_configured(store: Store, tmp_path: Path) -> None:
    settings = configured(tmp_path, level="approve")
    earn(store, GOAL, configured_actions(settings)["restart"], Autonomy.AUTO)
    assert level(store, settings) is Autonomy.AUTO
    assert level(store, configured(tmp_path, level="observe")) is Autonomy.OBSERVE


def test_no_level_exceeds_the_highest_configured(store: Store, tmp_path: Path) -> None:
    settings = configured(tmp_path, level="auto", highest_level="approve")
    assert level(store, settings) is Autonomy.APPROVE
    earn(store, GOAL, configured_actions(settings)["restart"], Autonomy.AUTO)
    assert level(store, settings) is Autonomy.APPROVE


def test_a_level_lowered_after_planning_holds_for_what_is_due(desk: Desk) -> None:
    desk.register(desk.marking())
    desk.plan(action_of("a", level=Autonomy.AUTO))
    desk.overrides = {"actions": {"restart": {"level": "approve"}}}
    assert desk.execute() == {}
    assert desk.marks == []
    desk.overrides = {}
    assert desk.execute()["a"].status is ReceiptStatus.SUCCEEDED


def test_rows_of_an_older_release_are_read(store: Store, tmp_path: Path) -> None:
    for name, value in (("mode.autonomous", "false"), (f"level:{GOAL}:restart", '"auto"')):
        store.engine.rows("INSERT INTO facts VALUES (1, $name, now(), 'loop', $value)", {"name": name, "value": value})
    store.engine.rows("DELETE FROM schema_versions WHERE version >= 7")
    assert migrate(store.engine) == max(int(file.name[:4]) for file in MIGRATIONS.glob("*.sql"))
    assert not is_autonomous(configured(tmp_path), store)
    assert level(store, configured(tmp_path)) is Autonomy.AUTO


def test_what_only_reports_asks_nobody_unless_it_is_to_observe(store: Store, tmp_path: Path) -> None:
    asking = elsewhere("analyze", informs_only=True, level="approve")
    assert level_in_force(store, GOAL, asking) is Autonomy.AUTO
    assert level_in_force(store, GOAL, replace(asking, highest_level="observe")) is Autonomy.OBSERVE


@pytest.mark.parametrize(
    ("informs_only", "answer"), [(True, GuardAnswer.GO), (False, GuardAnswer.WAIT)], ids=["reports", "acts"]
)
def test_a_report_goes_out_while_the_loop_may_not_act_by_itself(informs_only: bool, answer: GuardAnswer) -> None:
    handler = elsewhere("restart", informs_only=informs_only)
    view = ActionView(action=action_of(name="restart", series=None), approval=None, intent=None, receipt=None)
    goals = frozenset({view.action.goal_id})
    now = Circumstances(TICK, autonomous=False, open_goals=goals, actions=ActionsByName(restart=handler))
    assert judge(view, now).answer is answer


@pytest.mark.parametrize(
    ("said", "level"),
    [({}, "auto"), ({"reversible": False}, "approve"), ({"reversible": False, "level": "auto"}, "auto")],
)
def test_a_declared_action_that_is_said_to_be_irreversible_asks_until_a_level_is_set(
    said: dict[str, Any], level: str, tmp_path: Path, store: Store
) -> None:
    settings = load_settings(tmp_path, home=tmp_path, actions={"prune": {"candidates": [{}], **said}})
    action = configured_actions(settings, declared_actions(settings))["prune"]
    assert level_in_force(store, GOAL, action) is Autonomy(level)


def test_code_that_cannot_be_undone_does_nothing_alone_before_a_person_said_so(store: Store) -> None:
    code = elsewhere("prune", level="auto", source="plugins:prune")
    assert level_in_force(store, GOAL, code) is Autonomy.APPROVE
    assert level_in_force(store, GOAL, replace(code, configured=frozenset({"level"}))) is Autonomy.AUTO
    assert level_in_force(store, GOAL, elsewhere("prune", level="auto", source="x:y", reversible=True)) is Autonomy.AUTO
