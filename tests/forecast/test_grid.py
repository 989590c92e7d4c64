import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.forecast import snap, typical_interval_s
from tasks.forecast.prepare import fill_gaps, winsorise

END = 1_750_000_000.0


def grid(seconds, values, step_s=300.0, n_steps=6):
    return snap([np.asarray(seconds)], [np.asarray(values, dtype=float)], step_s=step_s, n_steps=n_steps, end_s=END)


def test_samples_land_in_the_step_they_fall_into() -> None:
    row = grid([END, END - 299, END - 300, END - 1500], [1, 3, 5, 7]).values[0]
    assert row[-1] == 2.0
    assert row[-2] == 5.0
    assert row[0] == 7.0
    np.testing.assert_allclose(row[1:4], [6.5, 6.0, 5.5])


def test_of_repeated_timestamps_the_last_given_wins_in_any_order() -> None:
    row = grid([END, END - 300, END], [1, 5, 9]).values[0]
    assert row[-1] == 9.0
    assert row[-2] == 5.0


def test_nanoseconds_and_datetimes_mean_the_same_as_seconds() -> None:
    seconds = END - 300.0 * np.arange(6)
    values = np.arange(6.0)
    nanoseconds = (seconds * 1e9).astype(np.int64)
    for stamps in (nanoseconds, nanoseconds.astype("datetime64[ns]"), seconds):
        np.testing.assert_array_equal(grid(stamps, values).values[0], values[::-1])


def test_samples_from_a_clock_that_ran_ahead_are_not_used() -> None:
    row = grid([END, END + 1, END + 86_400], [1, 100, 100]).values[0]
    assert row[-1] == 1.0


def test_a_changed_sampling_interval_is_bridged_but_an_outage_is_not() -> None:
    slow = END - 300.0 * np.arange(0, 24, 3)
    row = grid(slow, np.arange(8.0), n_steps=22).values[0]
    assert np.isfinite(row).all()
    outage = np.concatenate([END - 300.0 * np.arange(3), END - 300.0 * np.arange(15, 20)])
    row = grid(outage, np.ones(8), n_steps=20).values[0]
    assert np.isnan(row[5:17]).all()
    assert np.isfinite(row[[0, 4, 17, 19]]).all()


def test_implausible_values_are_missing() -> None:
    row = grid([END, END - 300, END - 600, END - 900], [1e300, -np.inf, np.nan, 4]).values[0]
    assert np.isnan(row[-3:]).all()
    assert row[-4] == 4.0


def test_an_empty_series_is_a_row_of_gaps_and_no_series_is_an_empty_grid() -> None:
    assert np.isnan(grid([], []).values).all()
    assert snap([], [], step_s=1.0, n_steps=3, end_s=0.0).values.shape == (0, 3)


def test_the_typical_interval_follows_a_change() -> None:
    stamps = np.concatenate([END - 86_400 - 3600.0 * np.arange(200), END - 60.0 * np.arange(150)])
    assert typical_interval_s(stamps) == 60.0
    assert typical_interval_s(np.array([END, END])) is None


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(-5000, 5000), st.floats(allow_nan=True, allow_infinity=True)), max_size=60))
def test_the_order_samples_arrive_in_does_not_matter(samples: list[tuple[float, float]]) -> None:
    unique = dict(samples)
    seconds, values = END + np.array([*unique]), np.array([*unique.values()])
    order = np.random.default_rng(len(samples)).permutation(len(unique))
    a = snap([seconds], [values], step_s=60.0, n_steps=50, end_s=END).values
    b = snap([seconds[order]], [values[order]], step_s=60.0, n_steps=50, end_s=END).values
    np.testing.assert_array_equal(a, b)


def test_the_mask_tells_what_was_filled() -> None:
    filled, mask = grid([END, END - 600], [2.0, 4.0], n_steps=4).filled(1)
    assert mask[0].tolist() == [True, False, False, False]
    assert filled[0].tolist() == [4.0, 4.0, 3.0, 2.0]


def test_short_gaps_are_bridged_and_long_ones_repeat_the_cycle_before() -> None:
    season = 24
    day = np.arange(24.0)
    values = np.tile(day, 5)
    observed = np.ones((1, 120), dtype=bool)
    observed[0, 30:33] = False
    observed[0, 50:90] = False
    dense = fill_gaps(np.where(observed, values, np.nan), observed, season)
    np.testing.assert_allclose(dense[0], values)


def test_what_came_before_the_first_sample_repeats_the_first_cycle() -> None:
    values = np.tile(np.arange(24.0), 4)
    observed = np.ones((1, 96), dtype=bool)
    observed[0, :40] = False
    np.testing.assert_array_equal(fill_gaps(np.where(observed, values, np.nan), observed, 24)[0], values)


def test_a_gap_up_to_now_is_filled_from_earlier_cycles() -> None:
    values = np.tile(np.arange(24.0), 4)
    observed = np.ones((1, 96), dtype=bool)
    observed[0, -30:] = False
    np.testing.assert_array_equal(fill_gaps(np.where(observed, values, np.nan), observed, 24)[0], values)


def test_a_single_wild_value_is_pulled_in_but_the_newest_steps_are_news() -> None:
    rng = np.random.default_rng(0)
    raw = np.tile(np.sin(np.arange(24) / 4), 10)[None] + rng.normal(0, 0.1, (1, 240))
    raw[0, 100] = 50.0
    raw[0, 230] = 50.0
    model = winsorise(raw, 24, 8.0)
    assert model[0, 100] < 3
    assert model[0, 230] == 50.0
    calm = np.delete(np.arange(240), 100)
    np.testing.assert_array_equal(model[0, calm], raw[0, calm])
