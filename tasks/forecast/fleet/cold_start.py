"""Forecasts for histories too short to show a season, or that show nothing at all.

The shape of the errors was measured on server metrics cut to 30 to 288 steps of a day of 288. They grow like the 0.6th
power of the steps ahead, the more so the less of a day was seen; and series differ so much in what comes next
that errors pooled over them have the tails of a Student t with two degrees of freedom.
"""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Float32s, Floats, path_quantiles
from tasks.forecast.fleet import method_by_history, untaught
from tasks.forecast.fleet.error_paths import phase_scale
from tasks.forecast.fleet.fit import FleetState
from tasks.forecast.fleet.prepare import Ints, Scaled
from tasks.forecast.fleet.regression import by_step
from tasks.forecast.fleet.seasonal import predict, seasonal_arrays
from tasks.forecast.fleet.untaught import inflation, student_stretch

RECENT_STEPS = 6
FIRST_STEP_ERROR = 0.55  # in units of √(standard deviation · mean change)
GROWTH_POWER = 0.6
SEEN_DAY_STEPS = 7.0  # steps of growth left once a whole day was seen
LEVEL_REACH = 0.17  # of a day: how long the last level holds once a whole day was seen


def short_forecast(scaled: Scaled, start: Ints, state: FleetState) -> tuple[Float32s, Float32s]:
    """Sample paths (n, s, h) and quantiles (n, h, q), in path units, of series that count from `start`."""
    values, t = scaled.raw.astype(float), scaled.raw.shape[1]
    inside = np.arange(t) >= start[:, None]
    count = inside.sum(axis=1)
    mean = (values * inside).sum(axis=1) / count
    level = _recent_level(values, start)
    ahead = np.arange(1, state.horizon + 1)
    day = np.maximum(state.season, count) if state.season > 1 else 4 * count
    reach = LEVEL_REACH * day**2 / count
    holds = np.exp(-((ahead / reach[:, None]) ** 2))
    predicted = mean[:, None] + (level - mean)[:, None] * holds
    growth = _error_growth(ahead, day[:, None], count[:, None])
    width = _typical_error(values, inside, mean)[:, None] * growth
    errors = width[:, None].astype(np.float32) * _unit_errors(state)
    ahead_of = predicted[:, None].astype(np.float32)
    paths = ahead_of + errors
    return paths, path_quantiles(np.concatenate([paths, ahead_of - errors], axis=1), state.levels)


def constant_forecast(scaled: Scaled, start: Ints, state: FleetState) -> tuple[Float32s, Float32s]:
    """The last value for ever, with a narrow width; none where the value is 0 and has no scale."""
    width = np.where(scaled.centre != 0, np.float32(1), np.float32(0)).astype(np.float32)
    offsets = np.sort(np.random.default_rng(state.seed).standard_normal(state.path_count)).astype(np.float32)
    offsets -= np.median(offsets)
    paths = np.repeat((width[:, None] * offsets)[:, :, None], state.horizon, axis=2)
    return paths, path_quantiles(paths, state.levels)


def _recent_level(values: Floats, start: Ints) -> Floats:
    """Halfway between the last value and the mean of the last six."""
    recent = values[:, -RECENT_STEPS:].mean(axis=1)
    return np.asarray((recent + values[:, -1]) / 2)


def _typical_error(values: Floats, inside: np.ndarray[tuple[int, int], np.dtype[np.bool_]], mean: Floats) -> Floats:
    """Geometric mean of the standard deviation and the mean change from step to step."""
    count = inside.sum(axis=1)
    deviation = np.sqrt((((values - mean[:, None]) * inside) ** 2).sum(axis=1) / count)
    change = (np.abs(np.diff(values, axis=1)) * inside[:, :-1]).sum(axis=1) / np.maximum(count - 1, 1)
    return np.asarray(np.sqrt(deviation * change))


def _error_growth(ahead: Ints, day: Ints, count: Ints) -> Floats:
    """Width of the error at each step: it grows till the other side of the day, less where more was seen."""
    away = np.maximum(day / np.pi * np.abs(np.sin(np.pi * ahead / day)), 1.0)
    left = SEEN_DAY_STEPS * (day / count) ** 1.5
    return np.asarray(FIRST_STEP_ERROR * (1 / (1 / away + 1 / left)) ** GROWTH_POWER)


def _unit_errors(state: FleetState) -> Float32s:
    """Error paths (s, h) shared by all series: part drifting, part new at each step, of unit width at every step.

    Each path is stretched by its own factor, at evenly spread probabilities, which gives the pool heavy tails.
    """
    rng = np.random.default_rng(state.seed)
    fresh = rng.standard_normal((2, state.path_count, state.horizon))
    drift = np.cumsum(fresh[0], axis=1) / np.sqrt(np.arange(1, state.horizon + 1))
    stretch = student_stretch(state.path_count, rng)
    return np.asarray(((0.9 * drift + 0.436 * fresh[1]) * stretch[:, None]).astype(np.float32))


PHASE_POWER = np.float32(0.25)  # of the spread of phases: two days tell little of it
PHASE_CYCLES = 2  # fewer do not show how much each phase differs from the day before


def pooled_forecast(scaled: Scaled, start: Ints, state: FleetState) -> tuple[Float32s, Float32s]:
    """Sample paths (n, s, h) and quantiles (n, h, q), in path units."""
    t = scaled.model.shape[1]
    arrays = seasonal_arrays(scaled.model, state.season, state.week, state.horizon)
    cycles = t / state.season
    # With one cycle base and naive are the same, so what long histories teach does not hold yet.
    maturity = min(max((cycles - 1) / (method_by_history.SEASONAL_CYCLES - 1), 0.0), 1.0)
    young = untaught.coefficients(state.season, state.horizon, weekly=True)[:, : arrays.feature_count]
    learned = state.coefficients[:, : arrays.feature_count]
    steps = by_step((young + maturity * (learned - young))[None], state.horizon)
    predicted = predict(arrays, np.array([t - 1]), steps)
    errors = state.library[None] * np.float32(inflation(cycles))
    if cycles >= PHASE_CYCLES:
        phases = phase_scale(scaled.raw, state.season)
        phases = (phases / phases.mean(axis=1, keepdims=True)) ** PHASE_POWER
        errors = errors * phases[:, None, np.arange(state.horizon) % state.season]
    paths = predicted + errors
    both = np.concatenate([paths, predicted - errors], axis=1)
    return paths, path_quantiles(both, state.levels)
