from pathlib import Path

import numpy as np
import pytest

from benchmarks.forecast_lengths import TRIVIAL, cuts, scale_of, score
from benchmarks.forecast_sets import HistoryWindows, load

NOWHERE = Path("/nowhere")


def twin(name: str) -> HistoryWindows:
    return load(name, NOWHERE).every(25)


def test_every_cut_ends_where_the_history_ends_and_the_whole_comes_last() -> None:
    windows = twin("opsh")
    found = list(cuts(windows, (30, 100, 5000)))
    assert [cut.history.shape[1] for cut in found] == [30, 100, windows.history.shape[1]]
    for cut in found:
        np.testing.assert_array_equal(cut.history[:, -1], windows.history[:, -1])
        np.testing.assert_array_equal(cut.future[:, 0], windows.future[:, 0])


def test_a_young_fleet_is_asked_for_48_steps_and_an_older_one_for_all() -> None:
    windows = twin("azmax5m")
    assert [cut.horizon for cut in cuts(windows, (400, 830))] == [48, 288, 288]


@pytest.mark.parametrize(("rule", "foretold"), [("last", 5.0), ("mean", 2.0), ("median", 1.0), ("naive", 1.0)])
def test_a_trivial_rule_says_what_its_name_says(rule: str, foretold: float) -> None:
    history = np.array([[1.0, 1.0, 1.0, 1.0, 5.0, 3.0, 1.0, 1.0, 1.0, 5.0]])
    windows = HistoryWindows("x", history, np.zeros((1, 2)), (4, 8), synthetic=True)
    assert TRIVIAL[rule](windows)[0, 0] == pytest.approx(foretold)


def test_a_set_shorter_than_a_day_is_scaled_by_its_steps() -> None:
    windows = HistoryWindows("x", np.array([[0.0, 2.0, 0.0, 2.0]]), np.zeros((1, 1)), (288,), synthetic=True)
    assert scale_of(windows)[0] == 2.0


def test_the_row_of_a_set_is_held_against_the_bar_of_its_age() -> None:
    windows = twin("opsh")
    young, grown = list(cuts(windows, (60,)))
    scale = scale_of(windows)
    assert score(young, scale, False, False).coverage_bar == (0.86, 0.94)
    found = score(grown, scale, True, False)
    assert found.coverage_bar == (0.88, 0.92)
    assert found.to_best_trivial == found.mase / min(found.others.values())
