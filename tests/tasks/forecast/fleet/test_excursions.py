"""A series that has just jumped is forecast to stay there about as long as past excursions say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.forecast import forecast_batch
from tasks.forecast.batch import Floats
from tasks.forecast.fleet.excursions import find_excursions

DAY = 288
RARE_ERRORS = np.random.default_rng(3).poisson(0.05, 4 * DAY).astype(float)
FAULT = np.array([7.0, 9.0, 8.0, 6.0, 10.0, 8.0, 7.0, 9.0, 8.0, 8.0, 7.0, 9.0])


def errors(steps: int, *faults_at: int, lasting: int = 4) -> Floats:
    """Four days of rare errors, with faults that ended by themselves, and a fault that has lasted for some steps."""
    values = np.concatenate([RARE_ERRORS, np.resize(FAULT, steps)])
    for at in faults_at:
        values[at : at + lasting] = np.resize(FAULT, lasting)
    return values[None]


def chance_above(values: Floats, bound: float, ahead: int, horizon: int = 24) -> float:
    batch = forecast_batch(values, season_lengths=(DAY,), horizon=horizon)
    return float((batch.paths_of(0)[:, ahead - 1] > bound).mean())


@pytest.mark.parametrize("age", [2, 4, 8])
def test_a_fault_without_example_stays_as_long_again_with_an_even_chance(age: int) -> None:
    assert chance_above(errors(age), 3, age) == pytest.approx(0.5, abs=0.1)
    assert chance_above(errors(age), 3, 3 * age) == pytest.approx(0.25, abs=0.1)


def test_faults_that_all_ended_soon_end_this_one_soon() -> None:
    often = [100 + 50 * n for n in range(18)]
    assert chance_above(errors(3, *often), 3, 1) > 0.8
    assert chance_above(errors(3, *often), 3, 4) < 0.15


def test_it_is_told() -> None:
    said = forecast_batch(errors(3), season_lengths=(DAY,), horizon=12).warnings[0]
    assert said[-1] == "it jumped 3 steps ago to where it stands, and may stay about as long again"


def test_one_spike_is_no_excursion_nor_is_what_comes_by_the_clock_wanders_or_lasts_for_hours() -> None:
    assert find_excursions(errors(1), DAY, 12) == {}
    assert find_excursions(errors(4, 3 * DAY), DAY, 12) == {}, "yesterday at this time, too"
    wanders = np.cumsum(np.random.default_rng(5).normal(0, 1, 4 * DAY))
    assert find_excursions(wanders[None], DAY, 12) == {}
    assert find_excursions(errors(DAY // 4), DAY, 12) == {}
    assert find_excursions(errors(4)[:, -DAY // 2 :], DAY, 12) == {}, "half a day tells nothing of the clock"


def test_what_falls_far_below_stays_there_too() -> None:
    up = np.concatenate([np.ones(4 * DAY), np.zeros(4)])[None]
    batch = forecast_batch(up, season_lengths=(DAY,), horizon=12)
    assert float((batch.paths_of(0)[:, 3] < 0.5).mean()) >= 0.45


BY_DAY = 200 + 100 * np.sin(2 * np.pi * np.arange(5 * DAY) / DAY) + np.random.default_rng(4).normal(0, 5, 5 * DAY)


def test_what_jumps_at_night_is_off_its_time_of_day_though_no_farther_than_days_go() -> None:
    values = BY_DAY[: 5 * DAY - DAY // 4].copy()
    values[-6:] += 80
    assert values[-6:].max() < np.median(values) < BY_DAY.max() - 80
    (found,) = find_excursions(values[None], DAY, 12).values()
    assert found.age == 6
    assert found.is_there(BY_DAY[-DAY // 4 :][:12] + 80).all()
    assert not found.is_there(BY_DAY[-DAY // 4 :][:12]).any()
    assert chance_above(values[None], float(BY_DAY[-DAY // 4 + 5]) + 40, 6) == pytest.approx(0.5, abs=0.1)


def test_one_value_nearer_to_the_usual_level_does_not_end_an_excursion() -> None:
    values = errors(9)
    values[0, -4] = 0.0
    assert find_excursions(values, DAY, 12)[0].age == 9


@given(st.integers(2, 30), st.lists(st.integers(0, 4 * DAY - 40), max_size=6), st.integers(1, 30))
def test_the_chance_that_it_still_stands_never_grows_with_time(age: int, at: list[int], lasting: int) -> None:
    for found in find_excursions(errors(age, *at, lasting=lasting), DAY, 40).values():
        assert found.age == age
        assert (np.diff(found.survival) <= 1e-12).all()
        assert 0 < found.survival[-1] <= found.survival[0] < 1
