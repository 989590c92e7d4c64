import numpy as np

from tasks.forecast import forecast_batch
from tasks.forecast.fleet.prepare import fill_gaps, prepare, winsorise


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


def test_a_disk_seen_for_two_days_is_foretold_to_fill_on_with_an_honest_chance_of_being_full() -> None:
    rng = np.random.default_rng(0)
    pace = rng.uniform(0.05, 0.1, (12, 1)) / 288
    filled = np.cumsum(pace * rng.gamma(2.0, 0.5, (12, 3 * 288)), axis=1)
    past, truth = 0.5 + filled[:, :-288], 0.5 + filled[:, -288:]
    forecast = forecast_batch(past, season_lengths=(288, 2016), horizon=288)
    assert all("trending" in method for method in forecast.method)
    on_slope = past[:, -1:] + (past[:, -1:] - past[:, :1]) / 575 * np.arange(1, 289)
    assert np.abs(forecast.point - truth).mean() < 2 * np.abs(on_slope - truth).mean()
    near, far = (forecast.breach(upper=past[:, -1] + share * pace[:, 0] * 288)[0] for share in (0.6, 1.6))
    assert (near > 0.85).all()
    assert (far < 0.15).all()


def test_a_day_and_a_half_of_a_daily_load_or_of_a_walk_is_no_trend() -> None:
    t = np.arange(432)
    loads = np.sin(2 * np.pi * (t / 288 + np.random.default_rng(1).random((40, 1)))) + 5
    walks = np.cumsum(np.random.default_rng(2).normal(size=(200, 432)), axis=1)
    trends = [np.count_nonzero(prepare(each, 288, 8.0).slope) for each in (loads, walks)]
    assert trends[0] == 0
    assert trends[1] <= 4
