"""A backlog carries its past: its rate, its lag and its unit are found from what was recorded, and never guessed up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.records import FloatArray
from tasks.drivers.backlog import BacklogResponse, effective
from tasks.drivers.fitting import fit_metric

STEPS = 600


def arrivals() -> FloatArray:
    rng = np.random.default_rng(3)
    return 50 + 30 * np.sin(np.arange(STEPS) / 40) + rng.normal(0, 3, STEPS)


def workers() -> FloatArray:
    return np.where(np.arange(STEPS) // 50 % 2, 9.0, 13.0)


@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize(("is_age", "scale"), [(True, 1.0), (False, 1 / 60)])
def test_the_rate_and_the_lag_of_a_queue_are_found_from_its_age_or_its_length(
    is_age: bool, scale: float, lag: int
) -> None:
    truth = BacklogResponse(6.0, is_age, scale, step_s=60.0)
    metric = truth.metric(arrivals(), effective(workers(), lag))
    fitted = fit_metric(metric, arrivals(), workers(), 60.0)
    assert fitted is not None
    assert isinstance(fitted.response, BacklogResponse)
    assert fitted.response.is_age == is_age
    assert fitted.response.scale == pytest.approx(scale)
    assert fitted.response.rate == pytest.approx(6.0, rel=0.03)
    assert fitted.latency_s == 60.0 * lag


def test_a_queue_that_was_always_empty_says_only_what_was_served_at_the_least() -> None:
    fitted = fit_metric(np.zeros(STEPS), arrivals(), np.full(STEPS, 20.0), 60.0)
    assert fitted is not None
    assert isinstance(fitted.response, BacklogResponse)
    assert fitted.response.rate <= arrivals().max() / 20.0
    assert fitted.response.rate == pytest.approx(80 / 20.0, rel=0.1)


@given(
    driver=st.lists(st.floats(0, 100), min_size=2, max_size=20),
    less=st.floats(0, 10),
    more=st.floats(0, 10),
    waiting=st.floats(0, 1e4),
)
def test_what_waits_is_never_negative_and_never_more_with_more_workers(
    driver: list[float], less: float, more: float, waiting: float
) -> None:
    queue = BacklogResponse(6.0, False, 1.0, 60.0, waiting, 50.0)
    few, many = (queue.metric(np.array(driver), np.array(less + extra)) for extra in (0.0, more))
    assert (many >= 0).all()
    assert (many <= few + 1e-6).all()


def test_with_nobody_at_work_the_oldest_ages_a_second_a_second() -> None:
    queue = BacklogResponse(6.0, True, 1.0, 60.0).from_state(120.0, 10.0)
    ages = queue.metric(np.full(5, 10.0), np.array(0.0))
    assert np.diff(ages) == pytest.approx(np.full(4, 60.0))
    assert ages[0] == pytest.approx(150.0)


def test_a_backlog_at_a_steady_rate_is_as_old_as_what_came_since() -> None:
    queue = BacklogResponse(6.0, True, 1.0, 60.0).from_state(300.0, 12.0)
    assert queue.metric(np.full(3, 12.0), np.array(2.0)) == pytest.approx(np.full(3, 300.0))
