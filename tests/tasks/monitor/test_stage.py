"""How far back the loop looks: a week at five minutes, five weeks where samples are hourly."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np

from flows.cycle import bare
from tasks.monitor.task import monitor
from tests.tasks.forecast.loop import START, Loop, wave

WEEK_STEPS = 168


def test_an_hourly_series_has_the_weeks_that_a_weekly_rhythm_takes(tmp_path: Path) -> None:
    loop = Loop(tmp_path, step_seconds=0)
    hours = 6 * WEEK_STEPS
    loop.record("slow", wave(hours + 1))
    end = START + timedelta(hours=hours)
    loop.record("quick", np.arange(2_100.0), end - timedelta(minutes=5 * 2_099), timedelta(minutes=5))
    quick, slow = bare(monitor, loop.context(end))
    assert (quick.series, quick.step_s, quick.values.shape[1]) == (("quick",), 300, 2_016)
    assert (slow.series, slow.step_s) == (("slow",), 3_600)
    assert slow.values.shape[1] >= 4 * WEEK_STEPS + 48
    np.testing.assert_array_equal(slow.values[0], wave(hours + 1)[-slow.values.shape[1] :])


def test_a_young_hourly_series_is_no_longer_than_its_history(tmp_path: Path) -> None:
    loop = Loop(tmp_path, step_seconds=0)
    loop.record("slow", wave(50))
    (frame,) = bare(monitor, loop.context(START + timedelta(hours=49)))
    assert np.isfinite(frame.values).sum() == 50
    assert frame.values.shape[1] <= 51


def test_the_loop_learns_the_week_of_an_hourly_metric(tmp_path: Path) -> None:
    loop = Loop(tmp_path, step_seconds=0)
    hours = 6 * WEEK_STEPS
    weekend = 20.0 * (np.arange(hours + 24) // 24 % 7 >= 5)
    for number in range(12):
        loop.record(f"slow{number}", wave(hours + 24, seed=number) + weekend)
    saturday = START + timedelta(hours=hours - 2 * 24 - 1)
    outlook = loop.cycle(saturday)
    (batch,) = outlook.batches
    jump = batch.point[:, :24].mean(axis=1) - 50.0
    # A series of its own has seen twelve weekends: the fleet is within four of the twenty, each within a quarter or so.
    assert abs(jump.mean() - 20.0) < 4.0
    assert (np.abs(jump - 20.0) < 5.5).all()
