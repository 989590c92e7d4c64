"""Goals about runs: each names its run, ends with it, and asks for the acts that can help it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from flows.simulate import TickClock
from flows.wiring import live_context
from settings import load_settings
from storage import open_store
from storage.records import Goal, GoalState, GoalView, Intent, Objective, Transition, series_key
from tasks.goals.evidence import Evidence
from tasks.goals.setting import set_goals
from tasks.goals.task import warned_of
from tasks.objectives.lateness import Warned, late_runs
from tasks.objectives.run_history import DeploymentRun, RunHistory
from tests.tasks.execute.acts import action_of, opening, receipt_of
from tests.tasks.goals.worlds import TICK, frame_of
from tests.tasks.objectives.test_lateness import LOAD, past, steady

SERIES = series_key("prefect_run_age_seconds", {"deployment": LOAD})
OBJECTIVE = Objective.model_validate({"name": "in-time", "kind": "deadline", "deployment": LOAD, "bound": 1_000.0})
TICK_S = TICK.timestamp()


def run_since(since_s: float, name: str = "plum-wombat", **more: Any) -> DeploymentRun:
    due_s = TICK_S - since_s
    return replace(DeploymentRun(name, name, LOAD, "running", due_s, due_s, None, "pool", "default"), **more)


def known(*runs: DeploymentRun, after_s: float = 0.0, is_silent: bool = False) -> Evidence:
    """Return what is known some time after TICK: a deployment whose runs take ten minutes, and some runs."""
    tick = TICK + timedelta(seconds=after_s)
    history = RunHistory((*past(steady(30, 600.0)), *runs))
    foretold = late_runs(history, OBJECTIVE, tick.timestamp(), 0)
    age = np.where(np.arange(200) < 140, 5.0, np.nan) if is_silent else np.full(200, 5.0)
    frames = (frame_of({SERIES: age}, end=tick),)
    return Evidence(
        tick=tick, objectives=(OBJECTIVE,), frames=frames, runs=history, late_runs={OBJECTIVE.name: foretold}
    )


def raised(evidence: Evidence, *open_goals: GoalView) -> list[Goal]:
    return list(set_goals(evidence, open_goals, [], max_active_goals=10, cycle_id="c").new)


def view_of(goal: Goal) -> GoalView:
    return GoalView(goal=goal, state=GoalState.ACTIVE, progress=0.0, reason="", since=goal.created_at)


def moved(goal: Goal, evidence: Evidence) -> GoalState | None:
    moves = set_goals(evidence, [view_of(goal)], [], max_active_goals=10, cycle_id="d").transitions
    return next((each.state for each in moves if each.goal_id == goal.goal_id), None)


def test_a_goal_names_the_run_with_all_that_an_action_needs_to_find_it() -> None:
    (goal,) = raised(known(run_since(950.0)))
    assert (goal.goal_type, goal.series, goal.bound) == ("DEADLINE", SERIES, None)
    assert (
        goal.because["inputs"].items()
        >= {
            "flow_run_id": "plum-wombat",
            "deployment": LOAD,
            "work_pool": "pool",
            "work_queue": "default",
            "run_state": "running",
        }.items()
    )
    assert goal.deadline == TICK + timedelta(seconds=50)
    assert "plum-wombat" in goal.description
    assert "it will be late with a probability of" in goal.because["sentence"]


def test_each_late_run_has_a_goal_of_its_own_and_no_second_one() -> None:
    evidence = known(run_since(950.0), run_since(960.0, "red-fox"))
    goals = raised(evidence)
    assert len(goals) == 2
    assert raised(evidence, *map(view_of, goals)) == []


def test_a_run_that_is_in_time_has_no_goal() -> None:
    assert raised(known(run_since(300.0))) == []


def test_a_run_whose_deadline_has_passed_has_no_new_goal() -> None:
    assert raised(known(run_since(2_000.0))) == []


def test_nothing_is_foretold_of_runs_that_nobody_sees_any_more() -> None:
    (goal,) = raised(known(run_since(950.0)))
    silent = known(run_since(950.0), is_silent=True)
    assert raised(silent) == []
    assert moved(goal, silent) is GoalState.BLOCKED


def test_a_goal_ends_with_its_run() -> None:
    (goal,) = raised(known(run_since(950.0)))
    done = run_since(950.0, state="completed", end_s=TICK_S + 40)
    assert moved(goal, known(done, after_s=60)) is GoalState.ACHIEVED
    assert moved(goal, known(replace(done, end_s=TICK_S + 55), after_s=60)) is GoalState.FAILED
    assert moved(goal, known(replace(done, state="failed"), after_s=60)) is GoalState.FAILED
    assert moved(goal, known(replace(done, state="cancelled"), after_s=60)) is GoalState.EXPIRED
    assert moved(goal, known(after_s=60)) is GoalState.EXPIRED


def test_a_goal_fails_as_soon_as_its_deadline_has_passed() -> None:
    (goal,) = raised(known(run_since(950.0)))
    assert moved(goal, known(run_since(950.0), after_s=45)) is None
    assert moved(goal, known(run_since(950.0), after_s=51)) is GoalState.FAILED


def test_a_warning_was_in_vain_where_its_run_turned_out_well_of_itself_in_the_last_three_weeks(tmp_path: Path) -> None:
    """One that an act may have helped was not, nor one whose run was late, or of which nothing is known yet."""
    (seen,) = raised(known(run_since(950.0)))
    clock = TickClock(TICK)
    store = open_store(clock=clock)
    context = live_context(load_settings(tmp_path, home=tmp_path), store, TICK, now=clock)
    for name, state, days_ago in (
        ("fine", GoalState.ACHIEVED, 2),
        ("helped", GoalState.ACHIEVED, 2),
        ("only told of", GoalState.ACHIEVED, 2),
        ("late", GoalState.FAILED, 2),
        ("still on", GoalState.ACTIVE, 0),
        ("long ago", GoalState.ACHIEVED, 22),
    ):
        at = TICK - timedelta(days=days_ago)
        because = {**seen.because, "inputs": {**seen.because["inputs"], "flow_run_id": name}}
        goal = seen.model_copy(update={"goal_id": name, "cause": name, "created_at": at, "because": because})
        moves = [opening(goal), Transition(goal_id=name, state=state, at=at, reason="", progress=1.0)]
        store.goals.append([goal], moves, name)
    for act, of, series in (("act", "helped", SERIES), ("mail", "only told of", None)):
        store.actions.append([action_of(act, TICK, goal_id=of, series=series)], act)
        store.actions.claim(Intent(action_id=act, at=TICK))
        store.actions.finish(receipt_of(act, TICK))
    runs = frozenset({"fine", "helped", "only told of", "late", "still on"})
    assert warned_of(context, OBJECTIVE) == Warned(runs, (TICK_S - 2 * 86_400.0,) * 2)
    store.close()
