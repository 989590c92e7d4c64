"""The benchmark's own claim in small: placebo actions are seldom taken for real ones, a t-test's often."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.impact import EVERY_STEPS, HORIZONS, placebos, t_test_p_value, table
from benchmarks.rolling import DEFAULT_DATA, recorded_series, roll


def _found(data: Path, count: int) -> list:  # type: ignore[type-arg]
    rolled = roll(recorded_series(data, count, 0), horizon=max(HORIZONS), every_steps=2 * EVERY_STEPS)
    return [each for place, one in enumerate(rolled) for each in placebos(one, place)]


@pytest.mark.slow
def test_placebos_on_made_series_are_seldom_believed() -> None:
    found = _found(Path("nowhere"), 6)
    alarms = np.mean([each.is_false_alarm for each in found])
    assert alarms <= 0.10
    assert np.mean([each.t_test_alarm for each in found]) > 4 * alarms
    assert np.mean([each.finds_shift for each in found]) > 0.85
    assert "high" in table(found)


@pytest.mark.slow
@pytest.mark.skipif(not (DEFAULT_DATA / "forecast").exists(), reason="the recorded series are not on this machine")
def test_placebos_on_recorded_series_are_seldom_believed() -> None:
    found = _found(DEFAULT_DATA, 14)
    assert np.mean([each.is_false_alarm for each in found]) <= 0.10
    assert 0.85 <= np.mean([each.covers for each in found]) <= 0.95


def test_the_t_test_is_that_of_welch() -> None:
    before, after = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 4.0, 6.0, 8.0, 10.0])
    assert t_test_p_value(before, after) == pytest.approx(0.06913, abs=1e-5)
    assert t_test_p_value(np.ones(3), np.ones(3)) == 1
