"""Patterns are used: goals before a recurrence, aligned histories after a change, effects as explanation."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from storage.records import GoalType, Objective
from tasks.forecast.fleet.fit import FleetState
from tasks.forecast.fleet.forecast import fit_fleet
from tasks.forecast.fleet.residuals import one_step_residuals
from tests.tasks.forecast.fleets import daily_fleet
from tests.tasks.forecast.loop import START, Loop

STEP = timedelta(minutes=10)
DAY = timedelta(days=1)
STEPS_A_DAY = 144
CPU = Objective(name="cpu-low", metric="cpu", bound=75, severity=0.8, horizon_s=3_600)


def ten_minutes(days: float, level: float = 50.0, seed: int = 0) -> NDArray[np.float64]:
    t = np.arange(round(days * STEPS_A_DAY))
    return np.asarray(level + np.random.default_rng(seed).normal(0, 1, len(t)))


def fine_loop(folder: Path, *objectives: Objective) -> Loop:
    return Loop(folder, objectives, step_seconds=600, horizon_steps=36)


def nightly_backups(loop: Loop, days: int = 14) -> datetime:
    """A backup at two each night, after which the CPU is 20 higher for an hour; return when the next one is due."""
    values = ten_minutes(days + 1)
    rng = np.random.default_rng(8)
    for day in range(days):
        at = START + day * DAY + timedelta(hours=2, minutes=float(rng.uniform(-5, 5)))
        first = int((at - START) / STEP) + 1
        values[first : first + 6] += 20
        loop.happen("backup", at)
    loop.record("cpu", values, START, STEP)
    return START + days * DAY + timedelta(hours=2)


def adaptations(loop: Loop, tick: datetime) -> list[Any]:
    return [view.goal for view in loop.set_goals(tick) if view.goal.goal_type is GoalType.PATTERN_ADAPTATION]


def test_a_predicted_recurrence_raises_a_goal_before_it_happens(tmp_path: Path) -> None:
    loop = fine_loop(tmp_path)
    due = nightly_backups(loop)
    assert adaptations(loop, due - timedelta(hours=8)) == []
    (goal,) = adaptations(loop, due - timedelta(hours=1))
    assert goal.created_at < goal.deadline
    assert abs(goal.deadline - due) <= timedelta(minutes=15)
    assert "backup" in goal.description


def test_an_effect_explains_the_goal_that_a_recurrence_raises(tmp_path: Path) -> None:
    loop = fine_loop(tmp_path, CPU)
    due = nightly_backups(loop)
    goals = adaptations(loop, due - timedelta(minutes=30))
    (goal,) = [each for each in goals if "backup" in each.description]
    effects = {pattern.pattern_id: pattern for pattern in loop.patterns if pattern.kind == "effect"}
    effect = effects[goal.because["inputs"]["effect"]]
    assert effect.evidence["event_type"] == "backup"
    assert effect.evidence["effect"] == pytest.approx(20, abs=8)
    assert effect.statement in goal.because["sentence"]
    assert (goal.objective, goal.series) == ("cpu-low", "cpu")


def shifted(loop: Loop, *, deployed: bool) -> datetime:
    """A level that moved from 50 to 80 a day ago, just after a deployment or out of the blue."""
    values = np.concatenate([ten_minutes(6), ten_minutes(1, level=80, seed=1)])
    loop.record("latency", values, START, STEP)
    loop.record("other", ten_minutes(7, seed=2), START, STEP)
    if deployed:
        loop.happen("deploy", START + 6 * DAY - timedelta(minutes=12))
    return START + 7 * DAY - STEP


def test_a_detected_change_with_its_event_aligns_the_history(tmp_path: Path) -> None:
    known, plain = fine_loop(tmp_path / "a"), fine_loop(tmp_path / "b")
    tick = shifted(known, deployed=True)
    aligned, as_it_was = known.cycle(tick), plain.cycle(shifted(plain, deployed=False))
    (change,) = [pattern for pattern in known.patterns if pattern.kind == "change_point"]
    assert change.evidence["event"] == "deploy"
    assert "deploy" in change.statement
    latency, other = aligned.by_series()["latency"], aligned.by_series()["other"]
    assert any("level changed at 2026-03-08 00:0" in warning for warning in latency.warnings)
    assert not any("level changed" in warning for warning in as_it_was.by_series()["latency"].warnings)
    assert abs(latency.point.mean() - 80) < abs(as_it_was.by_series()["latency"].point.mean() - 80)
    np.testing.assert_array_equal(other.quantiles, as_it_was.by_series()["other"].quantiles)


def test_an_event_that_comes_all_day_long_explains_no_change(tmp_path: Path) -> None:
    loop = fine_loop(tmp_path)
    tick = shifted(loop, deployed=False)
    loop.happen("heartbeat", *(START + number * timedelta(hours=1) for number in range(24 * 7)))
    outlook = loop.cycle(tick)
    (change,) = [pattern for pattern in loop.patterns if pattern.kind == "change_point"]
    assert "event" not in change.evidence
    assert not any("level changed" in warning for warning in outlook.by_series()["latency"].warnings)


def test_what_is_surprised_together_is_told_by_the_errors_of_the_fleet(tmp_path: Path) -> None:
    """The first cycle has no fleet yet; from the next search on, one-step forecast errors are compared."""
    loop = fine_loop(tmp_path)
    rng = np.random.default_rng(3)
    shocks, day = rng.normal(0, 3, 7 * STEPS_A_DAY), np.sin(2 * np.pi * np.arange(7 * STEPS_A_DAY) / STEPS_A_DAY)
    for number, name in enumerate(("disk", "queue", "alone")):
        own = ten_minutes(7, seed=number) + 9 * day
        loop.record(name, own + (shocks if name != "alone" else 3 * rng.normal(0, 1, len(own))), START, STEP)
    residuals = []
    for hours in (0, 3):
        loop.cycle(START + 7 * DAY - STEP - timedelta(hours=4 - hours))
        (pattern,) = [each for each in loop.patterns if each.kind == "comovement"]
        assert "disk" in pattern.subject
        assert "queue" in pattern.subject
        assert "alone" not in pattern.subject
        residuals.append(pattern.evidence["residuals"])
    assert residuals[-1] == "forecast"


def errors_of(values: NDArray[np.float64], state: FleetState) -> NDArray[np.float64]:
    residuals = one_step_residuals(values, state)
    assert residuals is not None
    return residuals(np.arange(len(values)))


def test_residuals_are_what_the_step_before_did_not_foretell() -> None:
    values = daily_fleet(4)
    state = fit_fleet(values, season_lengths=(24, 168), horizon=24)
    residuals = errors_of(values, state)
    assert np.isnan(residuals[:, :48]).all()
    judged = residuals[:, 60:]
    naive = values[:, 60:] - values[:, 36:-24]
    assert (np.abs(judged).mean(axis=1) < np.abs(naive).mean(axis=1)).all()
    jumped = values.copy()
    jumped[2, 200:] += 100 * np.abs(judged[2]).mean()
    again = errors_of(jumped, state)
    np.testing.assert_array_equal(again[[0, 1, 3]], residuals[[0, 1, 3]])
    assert again[2, 200] > 50 * np.abs(judged[2]).mean()


def test_without_a_season_or_a_history_there_are_no_residuals() -> None:
    state = fit_fleet(daily_fleet(4), season_lengths=(24, 168), horizon=24)
    assert one_step_residuals(daily_fleet(4, days=1), state) is None
    assert one_step_residuals(np.empty((0, 400)), state) is None
    assert np.isnan(errors_of(np.full((1, 300), 5.0), state)).all()
