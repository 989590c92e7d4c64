import numpy as np
import pytest

from tasks.forecast import FleetState, fit_fleet, forecast_batch
from tasks.forecast.verification.scores import mase, seasonal_scale
from tests.tasks.forecast.fleets import DAY, WEEK, daily_fleet

SEASONS = (DAY, WEEK)


def test_each_series_stands_on_the_rung_its_history_allows() -> None:
    fleet = daily_fleet(6, 14)
    fleet[0] = 42.0
    fleet[1, :-31] = np.nan  # 1.3 cycles of a day, above the 28.8 steps that need
    fleet[2, : -3 * DAY] = np.nan
    fleet[3] = np.nan
    fleet[4] += np.linspace(0, 50 * np.ptp(fleet[4]), fleet.shape[1])
    forecast = forecast_batch(fleet, season_lengths=SEASONS, horizon=12)
    assert forecast.method == ("constant", "pooled", "pooled", "refused", "seasonal trending", "seasonal")
    short = forecast_batch(fleet[5:, -30:], season_lengths=(288, 2016), horizon=12)
    assert short.method == ("short",)


def test_without_a_season_every_series_is_short() -> None:
    assert forecast_batch(daily_fleet(2), season_lengths=(), horizon=5).method == ("short", "short")


def test_a_constant_keeps_its_value_with_a_narrow_width() -> None:
    fleet = daily_fleet(4)
    fleet[0] = 250.0
    forecast = forecast_batch(fleet, season_lengths=SEASONS, horizon=20)
    np.testing.assert_allclose(forecast.point[0], 250.0, rtol=1e-3)
    width = forecast.quantiles[0, :, -1] - forecast.quantiles[0, :, 0]
    assert (width > 0).all()
    assert (width < 0.05 * 250).all()


def test_a_disk_that_fills_steadily_goes_on_filling() -> None:
    rng = np.random.default_rng(1)
    t = np.arange(14 * DAY + 48)
    disk = 100 + 0.5 * t + 3 * np.sin(2 * np.pi * t / DAY) + rng.normal(0, 0.5, (5, len(t)))
    past, truth = disk[:, :-48], disk[:, -48:]
    forecast = forecast_batch(past, season_lengths=SEASONS, horizon=48)
    assert all(method == "seasonal trending" for method in forecast.method)
    assert mase(truth, forecast.point, seasonal_scale(past, DAY)).mean() < 0.11


def test_a_bound_that_was_met_again_and_again_is_not_forecast_to_break() -> None:
    fleet = np.minimum(daily_fleet(8, 14, 2), np.quantile(daily_fleet(8, 14, 2), 0.9, axis=1, keepdims=True))
    forecast = forecast_batch(fleet, season_lengths=SEASONS, horizon=24)
    probability, _ = forecast.breach(upper=fleet.max(axis=1))
    np.testing.assert_array_equal(probability, 0.0)
    assert (forecast.quantiles <= fleet.max(axis=1)[:, None, None]).all()


def test_gaps_are_filled_and_said() -> None:
    fleet = daily_fleet(3, 14)
    fleet[0, 50:150] = np.nan
    forecast = forecast_batch(fleet, season_lengths=SEASONS, horizon=12)
    assert forecast.warnings[0] == ("30% of the history is filled gaps",)
    assert forecast.warnings[1] == ()
    assert np.isfinite(forecast.quantiles).all()


def test_wild_values_are_left_out_and_said() -> None:
    fleet = daily_fleet(3, 14)
    clean = forecast_batch(fleet, season_lengths=SEASONS, horizon=12)
    fleet[0, 40] = 1e300
    fleet[0, 90] = -np.inf
    forecast = forecast_batch(fleet, season_lengths=SEASONS, horizon=12)
    assert forecast.warnings[0] == ("2 infinite or implausibly large values were ignored",)
    scale = seasonal_scale(daily_fleet(3, 14), DAY)[:, None]
    assert (np.abs(forecast.point - clean.point) / scale).max() < 0.5


@pytest.mark.parametrize("days", [1.5, 2.5, 5, 14])
def test_the_ninety_percent_interval_covers_about_ninety_percent(days: float) -> None:
    fleet = daily_fleet(150, 30, 11)
    end = 28 * DAY
    past, truth = fleet[:, end - int(days * DAY) : end], fleet[:, end : end + 24]
    forecast = forecast_batch(past, season_lengths=SEASONS, horizon=24)
    inside = (truth >= forecast.quantiles[:, :, 0]) & (truth <= forecast.quantiles[:, :, -1])
    assert 0.84 < inside.mean() < 0.97


def test_a_stored_state_forecasts_to_the_same_last_digit() -> None:
    fleet = daily_fleet(8)
    fleet[0, :-50] = np.nan
    state = fit_fleet(fleet, season_lengths=SEASONS, horizon=24, seed=3)
    again = FleetState.from_json(state.to_json())
    assert again.tuning == state.tuning
    assert again.serves(SEASONS, 24)
    assert not again.serves(SEASONS, 25)
    np.testing.assert_array_equal(
        forecast_batch(fleet, season_lengths=SEASONS, horizon=24, state=again).quantiles,
        forecast_batch(fleet, season_lengths=SEASONS, horizon=24, seed=3).quantiles,
    )


def test_a_state_fitted_on_long_histories_serves_short_ones() -> None:
    state = fit_fleet(daily_fleet(8, 30), season_lengths=SEASONS, horizon=24)
    later = daily_fleet(3, 9, 5)
    forecast = forecast_batch(later, season_lengths=SEASONS, horizon=24, state=state)
    assert np.isfinite(forecast.quantiles).all()


def test_the_fleet_forecasts_better_than_repeating_the_last_day() -> None:
    fleet = daily_fleet(60, 21, 4)
    past, truth = fleet[:, :-24], fleet[:, -24:]
    forecast = forecast_batch(past, season_lengths=SEASONS, horizon=24)
    scale = seasonal_scale(past, DAY)
    assert mase(truth, forecast.point, scale).mean() < 0.85 * mase(truth, past[:, -24:], scale).mean()
