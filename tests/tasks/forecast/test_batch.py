import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tasks.forecast import ForecastBatch, forecast_batch
from tasks.forecast.fleet.forecast import fit_fleet, forecast_chunk
from tests.tasks.forecast.fleets import DAY, WEEK, daily_fleet

SEASONS = (DAY, WEEK)


def test_importing_the_stage_loads_neither_prefect_nor_darts() -> None:
    code = "import sys, tasks.forecast; print([m for m in ('prefect', 'darts', 'pandas') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_forecast_has_the_promised_shapes() -> None:
    forecast = forecast_batch(daily_fleet(5), season_lengths=SEASONS, horizon=30)
    assert forecast.point.shape == (5, 30)
    assert forecast.quantiles.shape == (5, 30, 19)
    assert forecast.paths.shape[0] == 5
    assert forecast.paths.shape[2] == 30
    assert forecast.levels == tuple(round(0.05 * i, 2) for i in range(1, 20))
    np.testing.assert_array_equal(forecast.point, forecast.quantiles[:, :, 9])


@pytest.mark.parametrize("usable", [0, 1, 29])
def test_fewer_than_thirty_points_are_refused_with_a_reason(usable: int) -> None:
    values = daily_fleet(3)
    values[1, : values.shape[1] - usable] = np.nan
    forecast = forecast_batch(values, season_lengths=SEASONS, horizon=12)
    assert forecast.refusals[0] is None
    assert forecast.refusals[1] == f"{usable} usable points; a forecast needs 30"
    assert forecast.method[1] == "refused"
    assert np.isnan(forecast.quantiles[1]).all()
    assert np.isnan(forecast.paths[1]).all()
    assert np.isnan(forecast.breach(upper=1.0)[0][1])
    assert np.isfinite(forecast.quantiles[[0, 2]]).all()


def test_thirty_points_are_enough() -> None:
    values = daily_fleet(2)
    values[1, :-30] = np.nan
    forecast = forecast_batch(values, season_lengths=SEASONS, horizon=12)
    assert forecast.refusals == (None, None)
    assert np.isfinite(forecast.quantiles).all()


def test_breach_is_certain_below_all_paths_and_impossible_above() -> None:
    forecast = forecast_batch(daily_fleet(4), season_lengths=SEASONS, horizon=12)
    probability, step = forecast.breach(upper=forecast.paths.min(axis=(1, 2)) - 1e-6)
    np.testing.assert_array_equal(probability, 1.0)
    np.testing.assert_array_equal(step, 1.0)
    probability, step = forecast.breach(upper=np.inf, lower=-np.inf)
    np.testing.assert_array_equal(probability, 0.0)
    assert np.isnan(step).all()


def test_breach_is_the_share_of_paths_that_cross_and_its_time_their_median() -> None:
    paths = np.zeros((1, 4, 6))
    paths[0, 0, 2:] = 10
    paths[0, 1, 4] = 10
    forecast = ForecastBatch.from_paths(paths)
    probability, step = forecast.breach(upper=5.0)
    assert probability.tolist() == [0.5]
    assert step.tolist() == [4.0]
    assert forecast.breach(upper=5.0, within=3)[0].tolist() == [0.25]
    assert forecast.breach(lower=5.0)[0].tolist() == [1.0]


def test_chunks_of_any_size_give_the_same_last_digit() -> None:
    values = daily_fleet(10)
    values[3, :-40] = np.nan
    values[4, 100:140] = np.nan
    values[5] = 7.0
    state = fit_fleet(values, season_lengths=SEASONS, horizon=30)
    whole = forecast_batch(values, season_lengths=SEASONS, horizon=30)
    for size in (1, 3, 10):
        for first in range(0, len(values), size):
            part = forecast_chunk(values[first : first + size], state)
            rows = slice(first, first + size)
            np.testing.assert_array_equal(part.quantiles, whole.quantiles[rows])
            np.testing.assert_array_equal(part.scaled_paths, whole.scaled_paths[rows])
            assert part.method == whole.method[rows]


def test_with_second_opinions_neither_order_nor_chunks_change_a_digit() -> None:
    values = daily_fleet(20, 28)
    values[3, :100] = np.nan
    state = fit_fleet(values, season_lengths=SEASONS, horizon=30)
    alone = forecast_chunk(values, replace(state, tuning=replace(state.tuning, opinions_share=0.0)))
    state = replace(state, tuning=replace(state.tuning, opinions_share=0.6))
    whole = forecast_chunk(values, state)
    assert not np.allclose(whole.point, alone.point)
    order = np.random.default_rng(4).permutation(len(values))
    assert (
        fit_fleet(values[order], season_lengths=SEASONS, horizon=30).to_json()
        == fit_fleet(values, season_lengths=SEASONS, horizon=30).to_json()
    )
    np.testing.assert_array_equal(forecast_chunk(values[order], state).quantiles, whole.quantiles[order])
    for size in (1, 7):
        parts = [forecast_chunk(values[first : first + size], state) for first in range(0, len(values), size)]
        np.testing.assert_array_equal(np.concatenate([part.scaled_paths for part in parts]), whole.scaled_paths)


def test_wrong_shapes_are_refused_with_a_plain_error() -> None:
    with pytest.raises(ValueError, match=r"values must be \(series, steps\)"):
        forecast_batch(np.zeros(100), season_lengths=SEASONS, horizon=3)
    with pytest.raises(ValueError, match="horizon must be at least one step"):
        forecast_batch(np.zeros((2, 100)), season_lengths=SEASONS, horizon=0)
