import numpy as np

from tasks.forecast.fleet.prepare import fill_gaps, winsorise


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
