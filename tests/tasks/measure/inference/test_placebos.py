"""The benchmark's own claim in small: placebo actions are seldom taken for real ones, a t-test's often."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.forecast_sets import DEFAULT_DATA, half_of
from benchmarks.impact import BARS, clustered_error, placebos, t_test_p_value, table
from benchmarks.rolling import recorded_series
from tests import IS_THOROUGH


def _found(data: Path, count: int, folder: Path, half: str = "ab") -> list:  # type: ignore[type-arg]
    series = [each for each in recorded_series(data, 3 * count, 0) if half_of(each[0]) in half][:count]
    return list(placebos(series, folder, 0, (20,)))


@pytest.mark.skipif(not IS_THOROUGH, reason="`make bench-impact` has more of them: `make thorough`")
@pytest.mark.slow
def test_placebos_on_made_series_are_seldom_believed(tmp_path: Path) -> None:
    found = _found(Path("nowhere"), 3, tmp_path)
    alarms = np.mean([each.is_false_alarm for each in found])
    assert alarms <= BARS["high"]
    assert np.mean([each.t_test_alarm for each in found]) > 4 * alarms
    assert np.mean([each.finds_shift for each in found]) > 0.85
    assert "high" in table(found)


@pytest.mark.slow
@pytest.mark.skipif(not IS_THOROUGH, reason="`make bench-impact` has more of them; `make thorough` runs it")
@pytest.mark.skipif(not (DEFAULT_DATA / "forecast").exists(), reason="the recorded series are not on this machine")
def test_placebos_on_recorded_series_are_seldom_believed(tmp_path: Path) -> None:
    found = _found(DEFAULT_DATA, 3, tmp_path, "b")
    alarms = np.mean([each.is_false_alarm for each in found])
    # Three series tell what is broken beyond chance alone; `make bench-impact` holds the bars over all of them.
    assert alarms - 2 * clustered_error(found) <= BARS["random"]
    assert 0.85 <= np.mean([each.covers for each in found]) <= 0.98


def test_the_t_test_is_that_of_welch() -> None:
    before, after = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 4.0, 6.0, 8.0, 10.0])
    assert t_test_p_value(before, after) == pytest.approx(0.06913, abs=1e-5)
    assert t_test_p_value(np.ones(3), np.ones(3)) == 1


def test_windows_of_one_machine_lie_in_the_same_half() -> None:
    assert len({half_of(f"machine-1#{window}") for window in range(9)}) == 1
    assert {half_of(f"machine-{number}") for number in range(20)} == {"a", "b"}
