import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.forecast import FleetState, fit_fleet, forecast_batch
from tasks.forecast.verification.scores import interval_coverage
from tests.tasks.forecast.fleets import DAY, WEEK, daily_fleet

FIVE_MINUTES = (288, 2016)


def noise(n: int, steps: int, seed: int) -> np.ndarray:
    return np.asarray(50 + np.random.default_rng(seed).normal(0, 5, (n, steps)))


def walks(n: int, steps: int, seed: int) -> np.ndarray:
    return np.asarray(1000 + np.cumsum(np.random.default_rng(seed).normal(0, 1, (n, steps)), axis=1))


@pytest.mark.parametrize("steps", [30, 60, 240])
def test_a_rough_series_returns_to_its_median_and_a_smooth_one_stays(steps: int) -> None:
    rough, smooth = noise(20, steps, 1), walks(20, steps, 2)
    ahead = forecast_batch(np.concatenate([rough, smooth]), season_lengths=FIVE_MINUTES, horizon=48).point[:, 24:36]
    np.testing.assert_allclose(ahead[:20].mean(axis=1), np.median(rough, axis=1), atol=0.8)
    back = (ahead[20:].mean(axis=1) - smooth[:, -1]) / (np.median(smooth, axis=1) - smooth[:, -1])
    assert np.median(back) < 0.4


@pytest.mark.parametrize("steps", [30, 100, 300])
def test_the_first_day_of_noise_is_covered_as_said(steps: int) -> None:
    values = noise(150, steps + 48, 3)
    forecast = forecast_batch(values[:, :steps], season_lengths=FIVE_MINUTES, horizon=48)
    covered = interval_coverage(values[:, steps:], forecast.quantiles[:, :, 0], forecast.quantiles[:, :, -1])
    assert 0.86 <= covered.mean() <= 0.95


def test_a_few_spikes_do_not_make_a_smooth_series_rough() -> None:
    smooth = walks(20, 120, 4)
    smooth[:, 50] += 30
    ahead = forecast_batch(smooth, season_lengths=FIVE_MINUTES, horizon=12).point[:, 6:]
    last, median = smooth[:, -1:], np.median(smooth, axis=1, keepdims=True)
    assert np.abs(ahead - last).mean() < np.abs(ahead - median).mean()


@pytest.mark.parametrize("days", [1.5, 2.0, 3.0])
def test_one_noisy_day_is_not_taken_for_the_season(days: float) -> None:
    steps = int(days * 288)
    values = noise(40, steps + 48, 5)
    point = forecast_batch(values[:, :steps], season_lengths=FIVE_MINUTES, horizon=48).point
    truth, median = values[:, steps:], np.median(values[:, :steps], axis=1, keepdims=True)
    assert np.abs(truth - point).mean() <= 1.03 * np.abs(truth - median).mean()


@pytest.mark.parametrize("days", [1.5, 2.0, 3.0])
def test_a_day_that_repeats_itself_is_the_season(days: float) -> None:
    values, steps = daily_fleet(30, 5, 6), int(days * DAY)
    past, truth = values[:, :steps], values[:, steps : steps + DAY]
    point = forecast_batch(past, season_lengths=(DAY, WEEK), horizon=DAY).point
    naive = past[:, -DAY:]
    median = np.median(past, axis=1, keepdims=True)
    scale = values.std(axis=1, keepdims=True)

    def error(foretold: np.ndarray) -> float:
        return float((np.abs(truth - foretold) / scale).mean())

    assert error(point) < 1.03 * min(error(naive), error(median))


def test_a_stored_fleet_knows_how_alike_its_days_are() -> None:
    noisy = fit_fleet(noise(20, 600, 7), season_lengths=FIVE_MINUTES, horizon=48)
    daily = fit_fleet(daily_fleet(20, 3, 8), season_lengths=(DAY, WEEK), horizon=12)
    assert noisy.day_likeness < 0.2 < 0.7 < daily.day_likeness
    again = FleetState.from_json(daily.to_json())
    assert (again.day_likeness, again.past_weight) == (daily.day_likeness, daily.past_weight)


@given(st.integers(0, 10**6), st.integers(30, 200), st.booleans())
def test_what_comes_does_not_depend_on_unit_or_zero(seed: int, steps: int, is_rough: bool) -> None:
    values = (noise if is_rough else walks)(3, steps, seed)
    plain = forecast_batch(values, season_lengths=FIVE_MINUTES, horizon=12).point
    other = forecast_batch(1000 * values + 7e4, season_lengths=FIVE_MINUTES, horizon=12).point
    np.testing.assert_allclose(other, 1000 * plain + 7e4, rtol=1e-3)


def test_a_few_points_are_read_in_the_light_of_the_fleet() -> None:
    """Thirty points of a walk that happen to look rough, among walks and among noise."""
    doubtful = walks(1, 30, 9) + np.random.default_rng(10).normal(0, 1.5, (1, 30))
    among_walks, among_noise = (
        forecast_batch(np.concatenate([doubtful, others]), season_lengths=FIVE_MINUTES, horizon=48).quantiles[0, -1]
        for others in (walks(30, 30, 11), noise(30, 30, 12))
    )
    assert among_walks[-1] - among_walks[0] > 1.2 * (among_noise[-1] - among_noise[0])


def test_bursts_of_late_do_not_raise_what_is_foretold_of_a_series_that_mostly_rests_low() -> None:
    rng = np.random.default_rng(13)
    pulses = np.where((np.arange(240) // 2 + rng.integers(0, 12, (30, 1))) % 12 == 0, 49.0, 1.5)
    pulses = pulses + rng.normal(0, 0.05, pulses.shape)
    pulses[:, -4:-2] = 49.0
    ahead = forecast_batch(pulses, season_lengths=FIVE_MINUTES, horizon=24).point
    assert np.abs(np.median(ahead, axis=0) - 1.5).max() < 1.0


def test_hours_that_rest_on_one_value_do_not_make_a_burst_the_season() -> None:
    values = np.full((20, 400), 0.5)
    values[:, 150:156] = 0.8
    point = forecast_batch(values, season_lengths=FIVE_MINUTES, horizon=48).point
    np.testing.assert_allclose(point, 0.5, atol=1e-3)
