import numpy as np
import pytest

from tasks.forecast import LEVELS, forecast_batch
from tests.tasks.forecast.fleets import DAY, WEEK, daily_fleet

SEASONS = (DAY, WEEK)


def errors_in_bursts(n: int, days: int, share: float, size: float, seed: int) -> np.ndarray:
    """Counters (n, steps) on 0 that jump for a step now and then."""
    rng = np.random.default_rng(seed)
    steps = (n, days * DAY)
    return np.where(rng.random(steps) < share, size * rng.uniform(0.5, 1.5, steps), 0.0)


@pytest.mark.parametrize("value", [0.0, 1.0, 3.0, 20.0, -5.0, 100.0, 1e9])
@pytest.mark.parametrize("steps", [40, 60, 14 * DAY])
def test_a_gauge_that_never_left_its_allowed_edge_is_not_forecast_to_cross_it(value: float, steps: int) -> None:
    fleet = daily_fleet(4)[:, -steps:]
    fleet[0] = value
    forecast = forecast_batch(fleet, season_lengths=SEASONS, horizon=24)
    assert forecast.breach(lower=value)[0][0] == 0
    assert forecast.breach(upper=value)[0][0] == 0
    assert forecast.breach(upper=value - 1)[0][0] == 1


def test_paths_of_a_counter_rest_on_zero_as_it_does_itself() -> None:
    counters = errors_in_bursts(12, 21, 0.02, 10, 1)
    paths = forecast_batch(counters, season_lengths=SEASONS, horizon=24).paths
    assert (paths == 0).mean() > 0.9
    assert (forecast_batch(counters, season_lengths=SEASONS, horizon=24).point == 0).mean() > 0.95


def test_a_counter_keeps_its_bursts() -> None:
    counters = errors_in_bursts(60, 28, 0.02, 10, 2)
    forecast = forecast_batch(counters, season_lengths=SEASONS, horizon=24)
    probability, _ = forecast.breach(upper=4.0)
    assert probability.mean() == pytest.approx(1 - 0.98**24, abs=0.1)


def test_one_huge_spike_does_not_swallow_the_bursts() -> None:
    counters = errors_in_bursts(20, 28, 0.05, 2, 3)
    calm = forecast_batch(counters, season_lengths=SEASONS, horizon=24).breach(upper=0.9)[0]
    counters[:, 100] = 1e4
    spiked = forecast_batch(counters, season_lengths=SEASONS, horizon=24).breach(upper=0.9)[0]
    assert spiked.mean() > 0.7 * calm.mean() > 0.3


def test_a_full_pool_is_not_forecast_to_be_a_hair_more_than_full() -> None:
    rng = np.random.default_rng(4)
    pool = np.full((10, 14 * DAY), 20.0)
    below = rng.random(pool.shape) < 0.1
    pool[below] -= rng.integers(1, 6, pool.shape)[below]
    forecast = forecast_batch(pool, season_lengths=SEASONS, horizon=24)
    np.testing.assert_array_equal(forecast.breach(upper=20.0)[0], 0.0)


def by_day(shape: str, n: int, days: int, seed: int) -> np.ndarray:
    """Series (n, steps) on 0 by night: half a sine, steps of 20 and 80, or half a sine with noise of a tenth."""
    rng = np.random.default_rng(seed)
    hours = np.arange(days * DAY) * 24 / DAY % 24
    busy = np.clip(np.sin(2 * np.pi * (hours - 6) / 24), 0, None)
    if shape == "steps":
        return np.tile(np.select([(hours >= 11) & (hours < 15), (hours >= 7) & (hours < 19)], [80.0, 20.0]), (n, 1))
    noise = 0.1 if shape == "noisy" else 0.02
    return 100 * busy * np.exp(noise * rng.normal(size=(n, days * DAY)))


@pytest.mark.parametrize("shape", ["sine", "steps", "noisy"])
def test_a_series_that_rests_by_night_is_not_forecast_to_rest_in_the_morning(shape: str) -> None:
    values = by_day(shape, 12, 22, 5)[:, : 21 * DAY + DAY // 24 * 11]
    history, future = values[:, : 21 * DAY], values[:, 21 * DAY :]
    forecast = forecast_batch(history, season_lengths=SEASONS, horizon=future.shape[1])
    low, high = (forecast.quantiles[..., LEVELS.index(level)] for level in (0.05, 0.95))
    busy = future > 0
    assert ((low <= future) & (future <= high))[busy].mean() > 0.75
    assert (forecast.point[busy] > 0).mean() > 0.9
    assert (forecast.breach(upper=0.15 * values.max())[0] > 0.95).all()


@pytest.mark.parametrize(("steps", "stays"), [(300, (30, 30)), (120, (11, 7)), (300, (11, 7)), (300, (20, 12))])
def test_a_young_pool_that_is_full_at_times_is_not_forecast_to_be_more_than_full(
    steps: int, stays: tuple[int, int]
) -> None:
    half, full = stays
    pool = np.array([20.0 if step % (half + full) >= half else 13.0 + step % 3 for step in range(steps)])
    forecast = forecast_batch(np.stack([pool, -pool]), season_lengths=(1_440,), horizon=60)
    assert forecast.breach(upper=np.array([20.0, 0.0]))[0][0] == 0
    assert forecast.breach(lower=np.array([0.0, -20.0]))[0][1] == 0


def test_a_young_count_may_go_beyond_the_most_that_was_seen_of_it() -> None:
    counts = np.random.default_rng(4).poisson(0.7, (40, 200)).astype(float)
    forecast = forecast_batch(counts, season_lengths=(1_440,), horizon=60)
    assert (forecast.breach(upper=counts.max(axis=1))[0] > 0).mean() > 0.9
