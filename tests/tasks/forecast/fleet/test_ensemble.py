"""Second opinions on hourly series: what each of them finds, and what it missed in the past it really missed."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.forecast.batch import Float32s
from tasks.forecast.fleet.autoregression import Autoregression, fit_autoregression
from tasks.forecast.fleet.ensemble import analog_course, ensemble_members, lag_sets, served
from tasks.forecast.fleet.seasonal import seasonal_arrays

DAY, WEEK = 24, 168
LAGS = (1, 2, 24, 168)


def weekly_fleet(series: int = 12, weeks: int = 5, noise: float = 0.05, seed: int = 2) -> Float32s:
    rng = np.random.default_rng(seed)
    shapes = rng.normal(0, 1, (series, WEEK))[:, np.arange(weeks * WEEK) % WEEK]
    return np.asarray((shapes + noise * rng.normal(0, 1, shapes.shape)).astype(np.float32))


def autoregressive_fleet(weights: dict[int, float], series: int = 8, steps: int = 900, seed: int = 0) -> Float32s:
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1, (series, steps))
    for step in range(max(weights), steps):
        values[:, step] += sum(weight * values[:, step - lag] for lag, weight in weights.items())
    return np.asarray(values.astype(np.float32))


def carried_on(model: Autoregression, known: Float32s, horizon: int) -> Float32s:
    """The course step by step, as it would have been from this end of the history."""
    course = np.concatenate([known, np.zeros((len(known), horizon), dtype=np.float32)], axis=1)
    for step in range(known.shape[1], course.shape[1]):
        course[:, step] = model.coefficients[:, -1]
        for place, lag in enumerate(model.lags):
            course[:, step] += model.coefficients[:, place] * course[:, step - lag]
    return course[:, known.shape[1] :]


def test_an_autoregression_finds_the_weights_that_made_the_series() -> None:
    model = fit_autoregression(autoregressive_fleet({1: 0.5, 24: 0.3}), LAGS)
    assert model.coefficients.mean(axis=0) == pytest.approx([0.5, 0.0, 0.3, 0.0, 0.0], abs=0.06)


def test_courses_from_the_past_are_those_that_the_same_model_would_have_taken() -> None:
    values = autoregressive_fleet({1: 0.5, 2: 0.2, 24: 0.2})
    model = fit_autoregression(values, LAGS)
    observed = 1 - (len(LAGS) + 1) / (values.shape[1] - LAGS[-1])  # errors are stretched by their leverage
    horizon = 30
    origins = np.array([model.first_origin, 500, values.shape[1] - 1 - horizon])
    past = model.past(origins, horizon)
    for place, origin in enumerate(origins.tolist()):
        truth = values[:, origin + 1 : origin + 1 + horizon]
        course = carried_on(model, values[:, : origin + 1], horizon)
        np.testing.assert_allclose(truth - past[:, place], (truth - course) / observed, atol=2e-3)
    np.testing.assert_allclose(model.ahead(horizon), carried_on(model, values, horizon), atol=1e-4)


def test_an_unstable_model_stays_near_the_range_of_its_history() -> None:
    growing = np.cumprod(np.full((2, 300), 1.03), axis=1).astype(np.float32)
    course = fit_autoregression(growing, (1, 24)).ahead(48)
    assert np.isfinite(course).all()
    assert course.max() <= growing.max() + 1.001


def test_a_day_like_today_is_found_and_laid_on_its_level() -> None:
    rng = np.random.default_rng(1)
    kinds = rng.normal(0, 1, (2, 2 * DAY))  # two kinds of days, each with a morrow of its own
    order = [0, 1, 0, 0, 1, 1, 0, 1, 1, 0]
    pairs = [kinds[kind] for kind in order]
    values = np.concatenate([*pairs, 3 + kinds[1, :DAY]])[None].astype(np.float32)
    course = analog_course(values, DAY, WEEK, DAY)
    np.testing.assert_allclose(course[0], 3 + kinds[1, DAY:], atol=0.05)


def test_all_opinions_know_what_depends_on_the_week() -> None:
    values = weekly_fleet()
    arrays = seasonal_arrays(values[:, :-DAY], DAY, WEEK, DAY)
    assert served(arrays)
    found = ensemble_members(arrays, np.arange(200, 600, 50), DAY)
    assert len(found.ahead) == 1 + len(lag_sets(DAY, WEEK))
    for course in found.ahead:
        assert np.abs(course - values[:, -DAY:]).mean() < 0.25


def test_shares_of_opinions_that_had_no_course_at_an_early_origin_go_to_the_others() -> None:
    arrays = seasonal_arrays(weekly_fleet(), DAY, WEEK, DAY)
    origins = np.array([60, 200, 600])
    found = ensemble_members(arrays, origins, DAY)
    base = np.zeros((len(arrays.values), len(origins), DAY), dtype=np.float32)
    mixed = found.mixed_past(base, 0.6)
    np.testing.assert_array_equal(mixed[:, 0], 0)
    np.testing.assert_allclose(mixed[:, 1], found.past[0][:, -2] * 0.2 / 0.6, rtol=1e-5, atol=1e-6)
    both = found.past[0][:, -1] + found.past[1][:, -1]
    np.testing.assert_allclose(mixed[:, 2], both * 0.2 / 0.8, rtol=1e-5, atol=1e-6)


def test_beyond_two_days_the_course_stays_as_it_was() -> None:
    arrays = seasonal_arrays(weekly_fleet(), DAY, WEEK, DAY)
    found = ensemble_members(arrays, np.array([300]), 4 * DAY)
    course = np.zeros((len(arrays.values), 4 * DAY), dtype=np.float32)
    mixed, past = found.mixed_ahead(course, 0.3), found.mixed_past(course[:, None], 0.3)[:, 0]
    for each in (mixed, past):
        assert each[:, : 2 * DAY].any()
        assert not each[:, 2 * DAY :].any()


def test_two_weeks_of_history_are_too_few() -> None:
    assert not served(seasonal_arrays(weekly_fleet(weeks=2), DAY, WEEK, DAY))
