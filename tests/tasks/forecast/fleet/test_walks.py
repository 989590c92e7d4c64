"""What wanders goes on from where it is; what follows the day or returns to its level does not."""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Floats
from tasks.forecast.fleet.forecast import forecast_batch
from tasks.forecast.fleet.walks import walk_share

DAY, SEASONS = 288, (288, 2016)


def walks(count: int, seed: int) -> Floats:
    return np.asarray(500 + np.cumsum(np.random.default_rng(seed).normal(size=(count, 2016 + 36)), axis=1))


def daily(count: int, memory: float) -> Floats:
    rng = np.random.default_rng(1)
    t = np.arange(2016 + 36)
    noise = rng.normal(size=(count, len(t)))
    for step in range(1, len(t)):
        noise[:, step] += memory * noise[:, step - 1]
    return np.asarray(100 + 20 * np.sin(2 * np.pi * (t / DAY + rng.random((count, 1)))) + noise)


def test_only_series_that_wander_count_as_walks() -> None:
    assert np.mean(walk_share(walks(40, 0).astype(np.float32), DAY) > 0.5) > 0.7
    for memory in (0.0, 0.5, 0.9):
        assert not walk_share(daily(40, memory).astype(np.float32), DAY).any()
    assert not walk_share(np.full((3, 2016), 7, dtype=np.float32), DAY).any()


def test_a_walk_among_daily_series_is_forecast_from_its_last_value_as_widely_as_it_goes() -> None:
    values = np.concatenate([walks(30, 2), daily(30, 0.5)])
    past, truth = values[:, :2016], values[:30, 2016:]
    forecast = forecast_batch(past, season_lengths=SEASONS, horizon=36).take(slice(0, 30))
    off_last = np.abs(past[:30, -1:] - truth).mean()
    assert np.abs(forecast.point - truth).mean() < 1.1 * off_last
    covered = (forecast.quantiles[:, :, 0] <= truth) & (truth <= forecast.quantiles[:, :, -1])
    assert 0.85 < covered.mean() < 0.98
