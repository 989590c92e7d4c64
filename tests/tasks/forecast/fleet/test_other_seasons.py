"""A season that is no day is found where it is, confirmed on a stretch that did not propose it, and forecast."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.forecast.batch import Floats
from tasks.forecast.fleet.fit import FleetState
from tasks.forecast.fleet.forecast import fit_fleet, forecast_batch
from tasks.forecast.fleet.other_seasons import find_other_seasons

DAY, SEASONS = 288, (288, 2016)


def waves(period: int, count: int, length: int, seed: int = 0, noise: float = 0.2) -> Floats:
    rng = np.random.default_rng(seed)
    phase = 2 * np.pi * (np.arange(length) / period + rng.random((count, 1)))
    return np.asarray(5 + np.sin(phase) + 0.4 * np.sin(2 * phase) + rng.normal(0, noise, (count, length)))


@pytest.mark.parametrize("period", [37, 100, 170])
def test_a_season_that_is_no_day_is_found_said_and_forecast(period: int) -> None:
    values = waves(period, 8, 2016 + DAY)
    past, truth = values[:, :2016], values[:, 2016:]
    found = find_other_seasons(past, DAY)
    assert all(abs(each - period) <= 2 for each in found)
    assert sorted(row for rows in found.values() for row in rows.tolist()) == list(range(8))
    forecast = forecast_batch(past, season_lengths=SEASONS, horizon=DAY)
    assert np.abs(forecast.point - truth).mean() < 0.5
    assert ((forecast.quantiles[:, :, 0] <= truth) & (truth <= forecast.quantiles[:, :, -1])).mean() > 0.8
    assert all("it repeats every" in notes[-1] for notes in forecast.warnings)


def test_days_their_halves_noise_and_walks_have_no_other_season() -> None:
    rng = np.random.default_rng(1)
    walks = np.cumsum(rng.normal(size=(60, 2016)), axis=1)
    for values in (waves(DAY, 20, 2016), waves(DAY // 2, 20, 2016), rng.normal(size=(60, 2016)), walks):
        assert not find_other_seasons(values, DAY)


def test_a_season_that_has_ended_is_not_carried_on() -> None:
    values = waves(100, 5, 2016)
    values[:, -DAY:] = 5 + np.random.default_rng(2).normal(0, 0.2, (5, DAY))
    assert not find_other_seasons(values, DAY)


def test_a_series_of_another_season_that_moved_its_level_is_forecast_by_it_on_the_new_level() -> None:
    values = waves(100, 4, 2016 + DAY)
    values[0, 2016 - DAY :] += 20
    past, truth = values[:, :2016], values[:, 2016:]
    forecast = forecast_batch(past, season_lengths=SEASONS, horizon=DAY)
    assert np.abs(forecast.point[0] - truth[0]).mean() < 0.6
    assert "steps" in forecast.method[0]
    assert any("has stayed" in note for note in forecast.warnings[0])


def test_what_stands_beside_it_does_not_change_the_forecast_of_another_season() -> None:
    values = np.concatenate([waves(100, 2, 2016), waves(DAY, 10, 2016), waves(37, 2, 2016)])
    together = forecast_batch(values, season_lengths=SEASONS, horizon=36, state=(state := fit(values)))
    for row in (0, 5, 13):
        alone = forecast_batch(values[[row]], season_lengths=SEASONS, horizon=36, state=state)
        np.testing.assert_array_equal(alone.quantiles[0], together.quantiles[row])


def fit(values: Floats) -> FleetState:
    return fit_fleet(values, season_lengths=SEASONS, horizon=36)
