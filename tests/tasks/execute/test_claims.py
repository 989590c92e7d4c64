"""What an action says of its success is one thing, what is measured another: the measurement decides."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from flows.cycle import acting, bare
from handlers import from_callable
from settings import load_settings
from storage.records import Objective, ReceiptStatus, Verdict
from tasks.execute.task import execute
from tasks.measure.task import measure
from tests.flows.test_stages import MINUTE, OneAct, quiet_day
from tests.tasks.execute.acts import TICK, action_of, goal_of, opening


@pytest.fixture
def bench(tmp_path: Path) -> OneAct:
    cpu = Objective(name="cpu", metric="cpu_usage", bound=90, horizon_s=1_800)
    bench = OneAct(load_settings(tmp_path, home=tmp_path, objectives=(cpu,), use_default_objectives=False))
    goal = goal_of()
    bench.store.goals.append([goal], [opening(goal)], "cycle-1")
    file = str(tmp_path / "marks")

    def boast(params: dict[str, object], goal_id: str) -> dict[str, object]:
        with open(file, "a") as marks:
            marks.write("act ")
        return {"success": True, "impact": {"cpu_usage": -30.0}}

    def undo(params: dict[str, object], before: dict[str, object], context: object) -> dict[str, object]:
        with open(file, "a") as marks:
            marks.write("undo")
        return {"success": True, "detail": "as it was"}

    hooks = {"capture": lambda params, context: {"size": 3}, "undo": undo}
    bench.actions = {"restart": from_callable("restart", boast, hooks=hooks, default_level="auto")}
    return bench


def test_an_action_that_claims_success_while_its_metric_gets_worse_is_undone_with_a_plain_message(
    bench: OneAct, tmp_path: Path
) -> None:
    quiet_day(bench, "cpu_usage", level=50, after=70)
    bench.store.actions.append([action_of(guards=())], "cycle-1")
    (done,) = execute.fn(bench.context(TICK), acting(bare))
    assert (done.status, done.claimed_impact) == (ReceiptStatus.SUCCEEDED, {"cpu_usage": -30.0})
    measure.fn(bench.context(TICK + 6 * MINUTE))
    (undone,) = execute.fn(bench.context(TICK + 6 * MINUTE), acting(bare))
    assert (undone.status, undone.detail) == (ReceiptStatus.SUCCEEDED, "as it was")
    assert (tmp_path / "marks").read_text() == "act undo"
    (line,) = [line for line in bench.store.audit.latest() if line.verb == "undo planned"]
    assert line.detail["reason"].startswith("cpu_usage got worse")
    (outcome,) = measure.fn(bench.context(TICK + 8 * MINUTE))
    assert outcome.verdict is Verdict.WORSE
    assert outcome.claimed == -30.0
    assert outcome.estimate is not None
    assert outcome.estimate > 0


def test_what_did_not_get_worse_inside_the_stabilisation_window_stays(bench: OneAct) -> None:
    quiet_day(bench, "cpu_usage", level=50, after=50)
    bench.store.actions.append([action_of(guards=())], "cycle-1")
    execute.fn(bench.context(TICK), acting(bare))
    for minutes in range(1, 12):
        measure.fn(bench.context(TICK + minutes * MINUTE))
    assert bench.store.actions.undo_for("a") is None


def test_a_metric_that_gets_worse_after_the_stabilisation_window_undoes_nothing(bench: OneAct) -> None:
    """By then something else may have made it worse."""
    quiet_day(bench, "cpu_usage", level=50, after=50)
    late = TICK + timedelta(minutes=20)
    bench.record("cpu_usage", 80 + np.random.default_rng(2).normal(0, 1, 30), late)
    bench.store.actions.append([action_of(guards=())], "cycle-1")
    execute.fn(bench.context(TICK), acting(bare))
    measure.fn(bench.context(TICK + timedelta(minutes=45)))
    assert bench.store.actions.undo_for("a") is None


@pytest.mark.parametrize(("looked", "is_undone"), [(False, True), (True, False)])
def test_a_turn_that_comes_too_late_looks_once_more_at_what_got_worse_in_time(
    bench: OneAct, looked: bool, is_undone: bool
) -> None:
    """Cycles and tends may be late or fail just while an act is watched."""
    quiet_day(bench, "cpu_usage", level=50, after=70)
    bench.store.actions.append([action_of(guards=(), horizon_s=300)], "cycle-1")
    execute.fn(bench.context(TICK), acting(bare))
    if looked:
        earlier = bench.context(TICK + 8 * MINUTE, "tend")
        bench.store.cycles.begin(earlier.cycle)
        earlier.report("measure", 0.0, {})
    measure.fn(bench.context(TICK + 25 * MINUTE))
    assert (bench.store.actions.undo_for("a") is not None) == is_undone


def test_what_got_worse_hours_ago_is_left_to_people(bench: OneAct) -> None:
    quiet_day(bench, "cpu_usage", level=50, after=70, minutes=180)
    bench.store.actions.append([action_of(guards=(), horizon_s=20_000)], "cycle-1")
    execute.fn(bench.context(TICK), acting(bare))
    measure.fn(bench.context(TICK + timedelta(minutes=120)))
    assert bench.store.actions.undo_for("a") is None


def test_an_act_that_takes_time_to_work_is_measured_from_then_on(bench: OneAct) -> None:
    """With the five minutes before in the mean, half of what it changes would be missed."""
    bench.actions = {"restart": replace(bench.actions["restart"], latency_s=300.0)}
    quiet_day(bench, "cpu_usage", level=50, after=50, minutes=5)
    bench.record("cpu_usage", 40 + np.random.default_rng(2).normal(0, 1, 20), TICK + 6 * MINUTE)
    bench.store.actions.append([action_of(guards=(), horizon_s=600.0)], "cycle-1")
    execute.fn(bench.context(TICK), acting(bare))
    (outcome,) = measure.fn(bench.context(TICK + 11 * MINUTE))
    assert outcome.evidence["window_steps"] == 5
    assert outcome.estimate == pytest.approx(-10, abs=2)
