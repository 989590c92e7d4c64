"""Yesterday's shape at today's level: what the profile forecaster follows, and how far."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.forecast import forecast_batch
from tasks.forecast.batch import Floats, ForecastBatch
from tasks.forecast.forecasters import get

SEASON, HORIZON = 105, 24


def daily(days: int, factor_today: float = 1.0, noise: float = 0.03, seed: int = 0) -> Floats:
    """Days of one shape, at another level each, and forty steps of today."""
    rng = np.random.default_rng(seed)
    shape = 100 + 60 * np.sin(np.arange(SEASON) / SEASON * 2 * np.pi)
    levels = [*np.exp(rng.normal(0, 0.4, days)), factor_today]
    values = np.concatenate([level * shape for level in levels])[: days * SEASON + 40]
    return np.asarray(values * np.exp(rng.normal(0, noise, len(values))))


def ahead(values: Floats, **options: float) -> ForecastBatch:
    run = get("profile", options)
    return run(values[None], season_lengths=(SEASON,), horizon=HORIZON, levels=(0.05, 0.5, 0.95), seed=0)


def truth(factor: float, since: int = 40) -> Floats:
    shape = 100 + 60 * np.sin(np.arange(SEASON) / SEASON * 2 * np.pi)
    return np.asarray(factor * shape[since : since + HORIZON])


@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_a_day_at_another_level_keeps_its_shape(factor: float) -> None:
    found = ahead(daily(6, factor))
    assert found.point[0] == pytest.approx(truth(factor), rel=0.15)
    inside = (found.quantiles[0, :, 0] <= truth(factor)) & (truth(factor) <= found.quantiles[0, :, 2])
    assert inside.mean() >= 0.8


def test_it_is_nearer_than_the_fleet_while_that_does_not_know_whether_a_jump_lasts() -> None:
    values = daily(6, 4.0)[:-30]
    came = truth(4.0, since=10)
    fleet = forecast_batch(values[None], season_lengths=(SEASON,), horizon=HORIZON).point[0]
    mine = ahead(values).point[0]
    assert np.abs(mine - came).mean() < 0.5 * np.abs(fleet - came).mean()


def test_trust_zero_stays_at_the_level_and_trust_one_follows_all_the_way() -> None:
    values = daily(6, 2.0, noise=1e-3)
    stays, follows = ahead(values, trust=0.0).point[0], ahead(values, trust=1.0).point[0]
    assert np.abs(follows - truth(2.0)).mean() < 0.02 * truth(2.0).mean()
    assert np.ptp(np.median(ahead(values, trust=0.0).paths[0], axis=0)) <= np.ptp(truth(2.0))
    assert np.abs(stays - truth(2.0)).mean() > 5 * np.abs(follows - truth(2.0)).mean()


def test_a_shape_that_does_not_return_is_hardly_followed() -> None:
    rng = np.random.default_rng(3)
    walk = np.exp(np.cumsum(rng.normal(0, 0.05, 7 * SEASON)))
    fitted, forced = ahead(walk).point[0], ahead(walk, trust=1.0).point[0]
    assert np.abs(np.log(fitted / walk[-1])).mean() < np.abs(np.log(forced / walk[-1])).mean()


def test_a_series_that_goes_below_zero_is_followed_as_it_is() -> None:
    values = daily(6, 1.0) - 100.0
    found = ahead(values).point[0]
    assert np.isfinite(found).all()
    assert (found < 0).any() == (truth(1.0) < 100.0).any()


def test_positive_loads_are_never_foretold_below_zero() -> None:
    assert (ahead(daily(6, 0.2, noise=0.5)).paths > 0).all()


def test_under_a_season_of_history_the_level_stays() -> None:
    values = 50.0 + np.random.default_rng(0).normal(0, 1, 60)
    found = ahead(values)
    assert found.refusals == (None,)
    assert found.point[0] == pytest.approx(np.full(HORIZON, 50.0), abs=3.0)
