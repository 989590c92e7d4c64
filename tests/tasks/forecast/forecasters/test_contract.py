"""Every forecaster found in the folder keeps the same contract; a new file is tested by being there."""

from __future__ import annotations

import numpy as np
import pytest

from storage.errors import ForeactError
from tasks.forecast import LEVELS, forecast_batch
from tasks.forecast.forecasters import Forecaster, get, names
from tests.tasks.forecast.fleets import DAY, daily_fleet

DETAILS = {"darts:": ("darts:NaiveSeasonal", "darts:NaiveDrift")}
EVERY = [name for stem in names() for name in DETAILS.get(stem, (stem,))]


def run(forecaster: Forecaster, values: np.ndarray[tuple[int, int], np.dtype[np.float64]], horizon: int = 12):
    return forecaster(values, season_lengths=(DAY, 7 * DAY), horizon=horizon, levels=LEVELS, seed=0)


@pytest.fixture(params=EVERY)
def forecaster(request: pytest.FixtureRequest) -> Forecaster:
    return get(request.param)


def test_the_built_in_forecasters_are_found() -> None:
    assert {"fleet", "ensemble", "seasonal_naive", "darts:", "darts_ridge"} <= set(names())


def test_it_gives_ordered_finite_quantiles_and_paths(forecaster: Forecaster) -> None:
    forecast = run(forecaster, daily_fleet(3, 8))
    assert forecast.quantiles.shape == (3, 12, len(LEVELS))
    assert np.isfinite(forecast.quantiles).all()
    assert np.isfinite(forecast.paths).all()
    assert (np.diff(forecast.quantiles, axis=2) >= 0).all()
    assert forecast.refusals == (None, None, None)


def test_it_refuses_what_has_too_little_history_and_forecasts_the_rest(forecaster: Forecaster) -> None:
    fleet = daily_fleet(4, 8)
    fleet[0] = np.nan
    fleet[1, :-20] = np.nan
    fleet[2, 40:60] = np.nan
    forecast = run(forecaster, fleet)
    assert forecast.refusals[0] is not None
    assert forecast.refusals[1] is not None
    assert forecast.method[:2] == ("refused", "refused")
    assert forecast.method[2] != "refused"
    assert np.isnan(forecast.quantiles[:2]).all()
    assert np.isfinite(forecast.quantiles[2:]).all()


def test_it_is_deterministic(forecaster: Forecaster) -> None:
    fleet = daily_fleet(2, 8)
    np.testing.assert_array_equal(run(forecaster, fleet).quantiles, run(forecaster, fleet.copy()).quantiles)


def test_it_does_not_change_its_input(forecaster: Forecaster) -> None:
    fleet = daily_fleet(2, 8)
    fleet[0, 5] = np.nan
    before = fleet.copy()
    run(forecaster, fleet)
    np.testing.assert_array_equal(fleet, before)


def test_ensemble_is_the_fleet() -> None:
    fleet = daily_fleet(3)
    np.testing.assert_array_equal(run(get("ensemble"), fleet).quantiles, run(get("fleet"), fleet).quantiles)


def test_seasonal_naive_repeats_the_last_cycle() -> None:
    fleet = daily_fleet(2, 10)
    forecast = run(get("seasonal_naive"), fleet, DAY)
    errors = fleet[:, -DAY:] - fleet[:, -2 * DAY : -DAY]
    off = np.abs(forecast.point - fleet[:, -DAY:]).mean() / np.abs(errors).mean()
    assert off < 0.5


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [
        ("prophet", {}, "unknown_forecaster"),
        ("fleet:x", {}, "unknown_forecaster"),
        ("fleet", {"alpha": 1}, "unknown_forecaster_option"),
        ("darts_ridge", {"beta": 1}, "unknown_forecaster_option"),
        ("darts:NoSuchModel", {}, "unknown_darts_model"),
        ("darts:", {}, "unknown_darts_model"),
        ("darts:NaiveSeasonal", {"depth": 3}, "bad_darts_options"),
    ],
)
def test_what_cannot_be_built_is_refused_with_a_remedy(name: str, options: dict[str, int], code: str) -> None:
    with pytest.raises(ForeactError) as refusal:
        get(name, options)
    assert refusal.value.code == code
    assert refusal.value.remedy


def test_darts_options_reach_the_model() -> None:
    fleet = daily_fleet(2, 8)
    forecast = run(get("darts:NaiveSeasonal", {"K": DAY}), fleet, DAY)
    assert forecast.method == ("darts:NaiveSeasonal",) * 2
    spread = np.ptp(fleet, axis=1)[:, None]
    assert (np.abs(forecast.point - fleet[:, -DAY:]) / spread).mean() < 0.1


def test_a_darts_model_that_fails_leaves_the_fleet_forecast_and_says_so() -> None:
    fleet = daily_fleet(2, 8) - 1e6  # a multiplicative Theta wants values above 0
    forecast = run(get("darts:Theta", {"season_mode": "multiplicative", "seasonality_period": DAY}), fleet)
    plain = forecast_batch(fleet, season_lengths=(DAY, 7 * DAY), horizon=12)
    np.testing.assert_array_equal(forecast.quantiles, plain.quantiles)
    assert all("darts:Theta failed" in notes[-1] for notes in forecast.warnings)
