"""What goes in a straight line as it never does is forecast to go on for a while."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.forecast import forecast_batch
from tasks.forecast.batch import Floats
from tasks.forecast.fleet.ramps import find_ramps

DAY = 288
RNG = np.random.default_rng(3)
CALM = 60 + RNG.normal(0, 8, 4 * DAY)


def climbing(steps: int, rate: float = 400.0, noise: float = 20.0) -> Floats:
    """Four calm days, then a climb."""
    line = rate * np.arange(1, steps + 1) + np.random.default_rng(4).normal(0, noise, steps)
    return np.concatenate([CALM, 60 + line])[None]


def middle(values: Floats, horizon: int = 36) -> Floats:
    return forecast_batch(values, season_lengths=(DAY,), horizon=horizon).point[0]


def test_a_queue_that_climbs_as_never_before_is_forecast_to_climb_on() -> None:
    ramp = find_ramps(climbing(30), DAY)[0]
    assert (ramp.age, ramp.rate) == (24, pytest.approx(400, rel=0.05))
    assert middle(climbing(30))[11] == pytest.approx(60 + 400 * 42, rel=0.1)


def test_how_long_it_goes_on_is_as_uncertain_as_it_is_young() -> None:
    batch = forecast_batch(climbing(30), season_lengths=(DAY,), horizon=DAY)
    low, high = batch.quantiles[0, -1, 0], batch.quantiles[0, -1, -1]
    assert low < 60 + 400 * 40
    assert high > 60 + 400 * 200
    assert any("may go on" in said for said in batch.warnings[0])


def test_what_falls_back_stays_at_its_usual_level() -> None:
    falling = np.concatenate([climbing(60)[0], 24_060 - 500 * np.arange(1, 25)])[None]
    ahead = middle(falling, 48)
    assert ahead[11] == pytest.approx(12_060 - 500 * 12, abs=1_200)
    assert ahead.min() >= 0


@pytest.mark.parametrize("rate", [-400.0, 400.0])
def test_what_does_so_every_day_is_on_no_ramp(rate: float) -> None:
    jobs = np.tile(np.concatenate([np.zeros(250), rate * np.arange(38)]), 4)[: 4 * DAY - 12]
    assert not find_ramps((30_000 + jobs + RNG.normal(0, 8, len(jobs)))[None], DAY)


def test_what_wanders_repeats_rests_or_jumps_is_on_no_ramp() -> None:
    walk = np.cumsum(RNG.normal(0, 1, (200, 4 * DAY)), axis=1)
    season = 50 + 20 * np.sin(np.arange(4 * DAY) * 2 * np.pi / DAY)
    jump = np.concatenate([CALM, np.full(20, 9_000.0)])
    assert len(find_ramps(walk, DAY)) <= 2
    for each in (season, np.full(4 * DAY, 7.0), jump, CALM):
        assert not find_ramps(np.asarray(each)[None], DAY)


@pytest.mark.parametrize(
    "values", [np.full((2, 400), np.nan), np.zeros((1, 5)), np.zeros((0, 400)), climbing(30) * 1e300]
)
def test_what_holds_no_history_is_on_no_ramp(values: Floats) -> None:
    assert not find_ramps(values, DAY)


def test_in_less_than_two_days_nothing_is_on_a_ramp() -> None:
    assert find_ramps(climbing(30)[:, -2 * DAY :], DAY)
    assert not find_ramps(climbing(30)[:, -2 * DAY + 1 :], DAY)


@pytest.mark.parametrize("season", [1, 2, 3, 24, 96, 500])
def test_a_day_may_have_any_number_of_steps(season: int) -> None:
    assert set(find_ramps(climbing(30), season)) == ({0} if season > 1 else set())


def test_a_gap_or_a_bend_ends_it() -> None:
    gap, bend = climbing(12), climbing(12)
    gap[0, -3] = np.nan
    bend[0, -3:] = 60
    assert not find_ramps(gap, DAY)
    assert not find_ramps(bend, DAY)
