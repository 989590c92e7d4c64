"""A parent is achieved when its children allow it, and says what it waits for."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from storage.records import Goal, GoalState, GoalView, Objective
from tasks.goals.changes import GoalChanges
from tasks.goals.evidence import Evidence
from tasks.goals.setting import set_goals
from tests.tasks.goals.worlds import TICK, evidence_of, open_after

SERVICE = Objective(name="service", metric="latency", bound=200)
CPU = Objective(name="cpu", metric="cpu_usage", bound=90, parent="service")
LATER = TICK + timedelta(hours=1)


def cycle(evidence: Evidence, open_goals: list[GoalView], recent: list[GoalView]) -> GoalChanges:
    return set_goals(evidence, open_goals, recent, max_active_goals=10, cycle_id=evidence.tick.isoformat())


def seen(latency: float, cpu: float, *, how: str = "and", before: bool = False) -> Evidence:
    """Return evidence of an hour at two values; `before` is the tick at which both were too high."""
    objectives = [SERVICE.model_copy(update={"composition": how}), CPU]
    values = {"latency": np.full(60, latency), "cpu_usage": np.full(60, cpu)}
    return evidence_of(objectives, values, probability=0.9 if before else 0.01, tick=TICK if before else LATER)


def both_open(how: str = "and") -> dict[str, GoalView]:
    opened = open_after(cycle(seen(300, 95, how=how, before=True), [], []))
    return {str(view.goal.objective): view for view in opened}


def after(evidence: Evidence, opened: dict[str, GoalView], recent: list[GoalView] | None = None) -> dict[str, GoalView]:
    views = list(opened.values())
    changes = cycle(evidence, views, recent or [])
    return {str(view.goal.objective): view for view in changes.views(views) if view.goal in [v.goal for v in views]}


def test_a_goal_of_which_all_parts_are_needed_waits_for_them() -> None:
    opened = both_open()
    now = after(seen(100, 95), opened)
    assert now["service"].state is GoalState.ACTIVE
    assert "waits for 1 of its parts" in now["service"].reason
    assert now["service"].progress <= now["cpu"].progress < 0.9
    assert after(seen(100, 95), now)["service"].since == now["service"].since
    assert after(seen(100, 40), opened)["service"].state is GoalState.ACHIEVED


def test_a_goal_fails_with_a_part_that_it_needed() -> None:
    opened = both_open()
    failed = opened.pop("cpu").model_copy(update={"state": GoalState.FAILED})
    now = after(seen(100, 40), opened, [failed])
    assert now["service"].state is GoalState.FAILED
    assert failed.goal.description in now["service"].reason


def test_a_part_that_was_given_up_does_not_hold_its_goal_back() -> None:
    opened = both_open()
    cancelled = opened.pop("cpu").model_copy(update={"state": GoalState.CANCELLED})
    assert after(seen(100, 40), opened, [cancelled])["service"].state is GoalState.ACHIEVED


def test_a_goal_of_which_one_part_is_enough_is_achieved_with_the_first() -> None:
    now = after(seen(300, 40, how="or"), both_open("or"))
    assert now["cpu"].state is GoalState.ACHIEVED
    assert now["service"].state is GoalState.ACHIEVED
    assert "one part is enough" in now["service"].reason


def test_a_part_that_was_raised_before_its_goal_counts_as_well() -> None:
    alone = open_after(cycle(seen(100, 95, before=True), [], []))
    views = {str(view.goal.objective): view for view in alone}
    assert views["cpu"].goal.parent_id is None or views["cpu"].goal.parent_id == views["service"].goal.goal_id
    orphan = both_open()
    orphan["cpu"] = orphan["cpu"].model_copy(update={"goal": orphan["cpu"].goal.model_copy(update={"parent_id": None})})
    assert after(seen(100, 95), orphan)["service"].state is GoalState.ACTIVE


def test_goals_in_a_ring_are_each_pursued_by_themselves_and_that_is_said() -> None:
    opened = both_open()

    def child_of(name: str, parent: str) -> GoalView:
        goal: Goal = opened[name].goal.model_copy(update={"parent_id": opened[parent].goal.goal_id})
        return opened[name].model_copy(update={"goal": goal})

    ring = [child_of("cpu", "service"), child_of("service", "cpu")]
    changes = cycle(seen(100, 95), ring, [])
    assert "each other's parents" in next(declined.reason for declined in changes.declined if declined.cause == "tree")
    states = {view.goal.objective: view.state for view in changes.views(ring)}
    assert states == {"service": GoalState.ACHIEVED, "cpu": GoalState.ACTIVE}


def test_goals_in_a_ring_leave_other_trees_as_they_are() -> None:
    opened = both_open()
    itself = opened["cpu"].goal.model_copy(update={"goal_id": "ring", "objective": None, "parent_id": "ring"})
    views = [*opened.values(), opened["cpu"].model_copy(update={"goal": itself})]
    changes = cycle(seen(100, 95), views, [])
    assert [declined.cause for declined in changes.declined if declined.cause == "tree"] == ["tree"]
    service = next(view for view in changes.views(views) if view.goal.objective == "service")
    assert service.state is GoalState.ACTIVE
    assert "waits for 1 of its parts" in service.reason
