import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.forecast import forecast_batch
from tasks.forecast.past_crossings import mixed, past_share
from tests.tasks.forecast.fleets import DAY, WEEK, daily_fleet

SEASONS = (DAY, WEEK)
shares = st.floats(0, 1, allow_nan=False)


def one(value: float) -> np.ndarray:
    return np.array([value])


def test_the_share_counts_windows_that_began_on_the_right_side() -> None:
    values = np.array([[0, 0, 5, 5, 0, 0, 0, 0.0]])
    share, side_by_side = past_share(values, one(1.0), True, 2)
    # Windows of two steps after steps 0, 1, 4 and 5; those after the first two crossed.
    assert share[0] == 0.5
    assert side_by_side[0] == 2


def test_a_series_beyond_its_bound_or_younger_than_the_window_has_no_share() -> None:
    values = np.array([[0, 0, 0, 5.0]])
    assert np.isnan(past_share(values, one(1.0), True, 2)[0][0])
    assert np.isnan(past_share(values, one(9.0), True, 4)[0][0])


def test_what_began_lately_and_never_pauses_for_a_window_counts_alone() -> None:
    calm, bursts = np.zeros(600), np.tile([0, 0, 0, 0, 0, 9.0], 20)
    for is_beyond_now in (True, False):
        values = np.concatenate([calm, bursts])[None, : None if is_beyond_now else -3]
        share, side_by_side = past_share(values, one(1.0), True, 30)
        assert (share[0], side_by_side[0]) == (1.0, 4)


def test_what_crosses_in_half_of_all_windows_is_not_taken_for_new_by_three_in_a_row() -> None:
    values = np.tile(np.r_[np.zeros(30), np.tile([0, 0, 0, 0, 0, 9.0], 5)], 8)[None, :-3]
    share, _ = past_share(values, one(1.0), True, 10)
    assert 0.3 < share[0] < 0.8


def test_a_level_held_beyond_the_bound_is_no_row_of_crossings() -> None:
    values = np.r_[np.zeros(600), np.full(100, 9.0)][None, :]
    assert np.isnan(past_share(values, one(1.0), True, 20)[0][0])


def test_gaps_neither_begin_a_window_nor_cross() -> None:
    values = np.array([[0, np.nan, np.nan, 0, 0, 0, 0.0]])
    share, side_by_side = past_share(values, one(1.0), True, 1)
    assert (share[0], side_by_side[0]) == (0.0, 4)


@given(shares, shares, st.floats(0, 1), st.floats(0.1, 50))
def test_the_mixture_lies_between_the_paths_and_the_past(
    paths: float, past: float, weight: float, windows: float
) -> None:
    smooth = (past * windows + 0.25) / (windows + 0.5)
    found = float(mixed(one(paths), (one(past), one(windows)), one(weight))[0])
    low, high = sorted((paths, smooth))
    assert min(low, 0.995) - 1e-9 <= found <= max(high, 0.005) + 1e-9


@given(shares, st.floats(0, 1))
def test_without_past_windows_or_weight_the_paths_alone_count(paths: float, weight: float) -> None:
    assert mixed(one(paths), (one(np.nan), one(0.0)), one(weight))[0] == paths
    assert mixed(one(paths), (one(0.3), one(5.0)), one(0.0))[0] == paths


def test_what_neither_path_nor_window_did_stays_impossible() -> None:
    assert mixed(one(0.0), (one(0.0), one(7.0)), one(0.4))[0] == 0
    assert mixed(one(0.0), (one(0.1), one(7.0)), one(0.4))[0] > 0


def test_one_mixture_is_read_for_all_series_and_for_some() -> None:
    fleet = daily_fleet(6)
    forecast = forecast_batch(fleet, season_lengths=SEASONS, horizon=24)
    bound = np.quantile(fleet, 0.97, axis=1)
    every, _ = forecast.breach(upper=bound)
    rows = np.array([4, 1])
    first = forecast.first_crossing(bound[rows], None, rows=rows)
    some = forecast.probability(first, bound[rows], None, rows=rows)
    np.testing.assert_array_equal(some, every[rows])
    np.testing.assert_array_equal(forecast.take(rows).breach(upper=bound[rows])[0], every[rows])


@pytest.mark.parametrize("rows", [[0], [1, 2]])
def test_what_has_changed_counts_by_its_paths_alone(rows: list[int]) -> None:
    fleet = daily_fleet(4)
    forecast = forecast_batch(fleet, season_lengths=SEASONS, horizon=24)
    bound = np.quantile(fleet, 0.9, axis=1)
    changed = forecast.unlike_past(rows)
    crossed = np.isfinite(changed.first_crossing(bound, None)).mean(axis=1)
    np.testing.assert_array_equal(changed.breach(upper=bound)[0][rows], crossed[rows])


def test_a_disk_that_fills_is_not_held_back_by_a_past_in_which_it_was_never_full() -> None:
    rng = np.random.default_rng(1)
    t = np.arange(14 * DAY)
    disk = 100 + 0.5 * t + rng.normal(0, 0.5, (8, len(t)))
    forecast = forecast_batch(disk, season_lengths=SEASONS, horizon=24)
    assert forecast.breach(upper=disk[:, -1] + 6)[0].min() == 1
