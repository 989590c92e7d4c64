"""How long something has been running is forecast from how long it took before, not from the time of day."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.records import FloatArray
from tasks.forecast.batch import ForecastBatch
from tasks.forecast.running_times import METHOD, past_runs, with_running_times

RISE, DAY, AHEAD = 300.0, 288, 48


def nightly(lengths: list[int], now: int) -> FloatArray:
    """A run of so many steps each night at two; the last one began `now` steps ago."""
    values = np.zeros(DAY * len(lengths) + 24 + now)
    for day, length in enumerate([*lengths, now]):
        first = 24 + DAY * day
        values[first : first + length] = RISE * np.arange(1, length + 1)
    return values


def foretold(values: FloatArray, paths: int = 200) -> ForecastBatch:
    return with_running_times(ForecastBatch.from_paths(np.full((1, paths, AHEAD), 7.0)), values[None], seed=1)


LENGTHS = [20, 22, 25, 21, 24]


def test_a_run_that_is_on_rises_until_it_ends_and_never_in_between() -> None:
    paths = foretold(nightly(LENGTHS, 10)).paths_of(0)
    np.testing.assert_allclose(paths[:, 0], RISE * 11, rtol=1e-5)
    rises = np.diff(paths, axis=1)
    assert (np.isclose(rises, RISE, rtol=1e-3) | np.isclose(rises, 0) | (rises < 0)).all()


def test_the_longer_a_run_is_on_the_surer_it_is_late() -> None:
    bound = RISE * 23.5
    late = [float(foretold(nightly(LENGTHS, now)).breach(upper=bound)[0][0]) for now in (5, 20, 23)]
    assert 0.2 < late[0] < 0.6
    assert late[0] < late[1] < late[2]
    assert late[2] > 0.6


def test_the_next_run_is_foretold_at_the_distance_at_which_they_began() -> None:
    values = np.append(nightly(LENGTHS, 20), np.zeros(DAY - 20 - 30))
    paths = foretold(values).paths_of(0)
    assert np.abs(paths[:, :29]).max() < 1e-2
    assert np.median(paths[:, 40]) == pytest.approx(RISE * 11, rel=0.1)


@given(st.lists(st.integers(5, 200), min_size=4, max_size=9), st.integers(1, 250))
def test_whatever_ran_before_a_present_run_gets_at_least_as_far_as_it_has(lengths: list[int], now: int) -> None:
    runs = past_runs(nightly(lengths, now))
    assert runs is not None
    further = runs.further(np.full(50, runs.value), np.random.default_rng(0))
    assert (further >= runs.value).all()
    assert np.isfinite(further).all()


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(50, 5, 2_000),
        np.arange(2_000.0),
        np.zeros(2_000),
        np.full(2_000, np.nan),
        np.tile(np.repeat([0.0, 4.0], 100), 10),
        nightly(LENGTHS[:2], 5),
    ],
    ids=["noise", "no run has ended", "rest", "nothing", "two levels", "two runs"],
)
def test_what_is_no_clock_keeps_its_forecast(values: FloatArray) -> None:
    batch = foretold(values)
    assert batch.method[0] != METHOD
    assert (batch.point == pytest.approx(7.0)) if np.isfinite(batch.point).all() else True
