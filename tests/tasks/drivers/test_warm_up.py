"""What was added works slower at first: that is found where it is so, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.records import FloatArray
from tasks.drivers.backlog import effective
from tasks.drivers.fitting import fit_driven, fit_metric
from tasks.drivers.responses import RatioResponse
from tasks.drivers.warm_up import WarmUp, fit_warm_up
from tests.tasks.drivers.test_fitting import LOAD as OBJECTIVE
from tests.tasks.drivers.test_fitting import frame

STEP_S = 60.0
LOAD = RatioResponse(0.04)


def driver(seed: int = 0, steps: int = 720) -> FloatArray:
    minutes = np.arange(steps)
    return 100 + 40 * np.sin(minutes / 90) + np.random.default_rng(seed).normal(0, 3, steps)


def servers(steps: int = 720) -> FloatArray:
    return np.repeat([3.0, 4.0, 5.0, 6.0, 5.0, 6.0, 7.0, 5.0, 6.0, 8.0, 6.0, 7.0], steps // 12)


def seen_with(warm_up: WarmUp | None, seed: int = 0, noise: float = 0.01) -> FloatArray:
    factor = warm_up.factors(servers(), STEP_S) if warm_up else 1.0
    exact = LOAD.metric(driver(seed) * factor, servers())
    return np.asarray(exact * (1 + noise * np.random.default_rng([seed, 1]).standard_normal(len(exact))))


@pytest.mark.parametrize("true", [WarmUp(0.5, 240.0), WarmUp(1.0, 480.0)])
def test_how_much_slower_and_for_how_long_is_found(true: WarmUp) -> None:
    fitted = fit_metric(seen_with(true), driver(), servers(), STEP_S)
    assert fitted is not None
    assert fitted.warm_up is not None
    assert fitted.latency_s == 0
    first, later = fitted.warm_up.factors(servers(), STEP_S)[[61, 70]]
    assert (first, later) == pytest.approx(tuple(true.factors(servers(), STEP_S)[[61, 70]]), rel=0.1)


@given(seed=st.integers(0, 10_000), noise=st.floats(0.001, 0.2))
def test_what_works_at_once_is_never_said_to_warm_up(seed: int, noise: float) -> None:
    assert fit_warm_up(LOAD, seen_with(None, seed, noise), driver(seed), servers(), 0, STEP_S) is None


def test_a_plain_lag_is_no_slow_start() -> None:
    late = LOAD.metric(driver(), effective(servers(), 4)) * (1 + 0.01 * np.sin(np.arange(720)))
    fitted = fit_metric(late, driver(), servers(), STEP_S)
    assert fitted is not None
    assert (fitted.latency_s, fitted.warm_up) == (240.0, None)


def test_few_increases_tell_nothing() -> None:
    assert fit_warm_up(LOAD, seen_with(WarmUp(1.0, 480.0)), driver(), np.full(720, 3.0), 0, STEP_S) is None


def test_what_was_taken_away_leaves_the_rest_as_fast_as_it_was() -> None:
    assert WarmUp(1.0, 240.0).factors(np.array([5.0, 5.0, 4.0, 4.0]), STEP_S) == pytest.approx(1.0)


def test_a_response_counts_what_was_added_just_now_as_slow() -> None:
    amount = np.append(servers(), [9.0])
    drive = np.append(driver(), [100.0])
    factor = WarmUp(1.0, 480.0).factors(amount, STEP_S)
    load = LOAD.metric(drive * factor, amount)
    fitted = fit_metric(load, drive, amount, STEP_S)
    assert fitted is not None
    assert fitted.warm_up is not None
    driven = fit_driven([OBJECTIVE], [frame(load=load, rate=drive, servers=amount)])
    fresh = driven.responses["load"].metric(np.array(100.0), np.array(9.0))
    warm = fitted.response.metric(np.array(100.0), np.array(9.0))
    assert 1.8 < fresh / warm < 2.1
