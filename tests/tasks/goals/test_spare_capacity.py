"""What was scaled out comes in again: a goal of low weight, open while more can be given back, closed once none can."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from storage.records import Goal, GoalState, GoalType, GoalView, Objective
from tasks.drivers.settable_amounts import SpareAmount
from tasks.goals.evidence import Evidence
from tasks.goals.rules import spare_capacity
from tasks.goals.setting import set_goals
from tests.tasks.goals.worlds import TICK, evidence_of

AGE = Objective(name="age", metric="age", bound=300, severity=0.8)


def seen(workers: float, *spare: SpareAmount, **more: Any) -> Evidence:
    values = {"age": np.zeros(60), "workers": np.full(60, workers)}
    return evidence_of(AGE, values, spare=spare, **more)


def spare(now: float = 9.0, is_due: bool = True) -> SpareAmount:
    return SpareAmount("workers", "workers", now, now - 1, "age", is_due)


def raised(evidence: Evidence) -> tuple[Goal, ...]:
    return set_goals(evidence, [], [], max_active_goals=10, cycle_id="c").new


def test_an_idle_amount_raises_one_goal_that_weighs_little() -> None:
    (goal,) = raised(seen(9.0, spare()))
    assert (goal.goal_type, goal.series, goal.objective) == (GoalType.COST_REDUCTION, "workers", "age")
    assert goal.priority < 0.1
    assert not goal.because["is_broken_now"]
    assert raised(seen(9.0, spare(is_due=False))) == ()
    assert raised(seen(9.0)) == ()


@pytest.mark.parametrize("is_due", [True, False])
def test_the_goal_stays_open_while_more_may_be_given_back(is_due: bool) -> None:
    (goal,) = raised(seen(9.0, spare()))
    standing = spare_capacity.standing(goal, seen(8.0, spare(8.0, is_due)))
    assert not standing.is_met
    assert not standing.is_over


def test_the_goal_is_achieved_once_less_is_there_and_no_more_can_be_spared() -> None:
    (goal,) = raised(seen(9.0, spare()))
    standing = spare_capacity.standing(goal, seen(5.0))
    assert standing.is_met
    assert "no more of it can be spared" in standing.statement


@pytest.mark.parametrize(("workers", "minutes", "is_over"), [(10.0, 1, True), (9.0, 1, False), (9.0, 61, True)])
def test_the_goal_ends_unachieved_where_the_amount_is_needed_again_or_stays_for_an_hour(
    workers: float, minutes: float, is_over: bool
) -> None:
    (goal,) = raised(seen(9.0, spare()))
    standing = spare_capacity.standing(goal, seen(workers, tick=TICK + timedelta(minutes=minutes)))
    assert standing.is_over is is_over
    assert not standing.is_met


@pytest.mark.parametrize(("lowered_ago", "is_achieved"), [(30, False), (90, True)])
def test_what_goes_down_step_by_step_with_pauses_stays_one_goal(lowered_ago: int, is_achieved: bool) -> None:
    (goal,) = raised(seen(9.0, spare()))
    workers = np.r_[np.full(120 - lowered_ago, 9.0), np.full(lowered_ago, 5.0)]
    later = evidence_of(AGE, {"age": np.zeros(120), "workers": workers}, spare=())
    view = GoalView(goal=goal, state=GoalState.ACTIVE, progress=0.0, reason="", since=TICK)
    changes = set_goals(later, [view], [], max_active_goals=10, cycle_id="d")
    assert (GoalState.ACHIEVED in {each.state for each in changes.transitions}) is is_achieved


def test_a_full_list_gives_way_to_what_burns() -> None:
    (goal,) = raised(seen(9.0, spare()))
    burning = evidence_of(AGE, {"age": np.full(60, 900.0), "workers": np.full(60, 9.0)}, tick=TICK, spare=(spare(),))
    view = GoalView(goal=goal, state=GoalState.ACTIVE, progress=0.0, reason="", since=TICK)
    changes = set_goals(burning, [view], [], max_active_goals=1, cycle_id="d")
    assert [each.goal_type for each in changes.new] == [GoalType.BOTTLENECK_PREVENTION]
    assert (goal.goal_id, GoalState.SUPERSEDED) in {(move.goal_id, move.state) for move in changes.transitions}
