"""What a fleet learns once and then serves every chunk of it: coefficients, an error library, offsets, a tuning."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from tasks.forecast.allocation import keep_freed_memory
from tasks.forecast.batch import LEVELS, Float32s, Floats
from tasks.forecast.fleet import method_by_history, untaught
from tasks.forecast.fleet.fleet_state import FleetState, day_and_week
from tasks.forecast.fleet.offsets import no_offsets
from tasks.forecast.fleet.prepare import MIN_USABLE_POINTS, NO_WINSORISING, Scaled, prepare, scale_histories
from tasks.forecast.fleet.regression import pooled_coefficients
from tasks.forecast.fleet.seasonal import Seasonal, seasonal_arrays
from tasks.forecast.fleet.seasonal_model import Tuning, fit_origins, path_counts, seasonal_forecast
from tasks.forecast.fleet.stocks import without_falls
from tasks.forecast.fleet.tuning import backtest_spread, backtest_tuning
from tasks.forecast.fleet.untaught import measured_library
from tasks.forecast.fleet.young_widths import young_width

FIT_SAMPLE = 128  # series; more of them change the pooled coefficients by less than their own error
FLOOR_SHARE = 0.01


def fit_fleet(
    values: Floats,
    *,
    season_lengths: tuple[int, ...],
    horizon: int,
    levels: tuple[float, ...] = LEVELS,
    seed: int = 0,
) -> FleetState:
    """Learn what the series of a fleet share, from up to 128 of them; arguments as for `forecast_batch`.

    With no series of four cycles the defaults stand: coefficients and errors typical of server metrics.
    """
    values = np.asarray(values, dtype=float)
    _check(values, horizon, levels)
    keep_freed_memory()
    season, _ = day_and_week(season_lengths)
    values = without_falls(values, season)
    state = _fitted(values, season_lengths, horizon, levels, seed)
    young = _sample(values, season, math.ceil(method_by_history.POOLED_CYCLES * season) + 1)

    def fit(past: Floats, ahead: int) -> FleetState:
        return _fitted(past, season_lengths, ahead, levels, seed)

    return replace(state, young_width=young_width(young, season, horizon, fit))


def _fitted(
    values: Floats, season_lengths: tuple[int, ...], horizon: int, levels: tuple[float, ...], seed: int
) -> FleetState:
    """What the series (n, t) of a fleet share but for the width of young ones."""
    season, week = day_and_week(season_lengths)
    sample = _sample(values, season, method_by_history.least_to_teach(season, horizon))
    tuning = backtest_tuning(sample, season, week, horizon, levels)
    tuning, past_weight = backtest_spread(sample, season, week, horizon, tuning)
    if not len(sample):
        sample = _sample(values, season, math.ceil(method_by_history.POOLED_CYCLES * season) + 1)
    taught = _teach(sample, season, week, horizon, tuning, seed)
    young = sample if len(sample) else _sample(values, season, MIN_USABLE_POINTS)
    return FleetState(
        season_lengths=tuple(int(m) for m in season_lengths),
        horizon=horizon,
        levels=tuple(float(level) for level in levels),
        seed=seed,
        tuning=tuning,
        offsets=no_offsets(horizon, levels),
        past_weight=past_weight,
        roughness=_roughness(young, season),
        **taught,
    )


def _sample(values: Floats, season: int, least: int) -> Floats:
    rows, length = method_by_history.teachers(values, season, least)
    return values[rows[:FIT_SAMPLE], values.shape[1] - length :]


def _roughness(sample: Floats, season: int) -> float:
    """The roughness of a fleet over as many steps as those see that are too short to show a season."""
    if not len(sample):
        return untaught.ROUGHNESS
    window = prepare(sample[:, -math.ceil(method_by_history.POOLED_CYCLES * season) :], season, NO_WINSORISING)
    moving = ~method_by_history.constant(window)
    inside = np.arange(window.raw.shape[1]) >= window.start[:, None]
    rough = untaught.roughness(window.raw[moving], inside[moving])
    return float(np.median(rough)) if len(rough) else untaught.ROUGHNESS


def _teach(sample: Floats, season: int, week: int | None, horizon: int, tuning: Tuning, seed: int) -> dict[str, Any]:
    """Coefficients, error library and floor width from a sample, or the defaults where it teaches nothing."""
    count = sum(path_counts(horizon, tuning.raw_share))
    taught: dict[str, Any] = {
        "coefficients": untaught.coefficients(season, horizon, week is not None),
        "library": untaught.error_library(season, horizon, count, seed),
        "floor_ratio": untaught.FLOOR_RATIO,
        "day_likeness": untaught.DAY_LIKENESS,
        "fitted_series": 0,
    }
    history = prepare(sample, season, tuning.winsor_mads) if len(sample) else None
    moving = np.flatnonzero(~method_by_history.constant(history)) if history else ()
    if history is None or not len(moving):
        return taught
    scaled = scale_histories(history, season).take(np.asarray(moving))
    arrays = seasonal_arrays(scaled.model, season, week, horizon)
    alike, _ = untaught.day_likeness(scaled, history.start[np.asarray(moving)], season)
    taught |= {
        "floor_ratio": _floor_ratio(scaled),
        "fitted_series": len(moving),
        "day_likeness": float(np.median(alike)),
    }
    independent = method_by_history.independent_horizons(sample.shape[1], season, horizon)
    if independent >= 1:
        prior = taught["coefficients"][:, : arrays.feature_count]
        origins = fit_origins(sample.shape[1], season, horizon)
        taught["coefficients"] = pooled_coefficients(arrays, origins, horizon, prior)
    if independent >= method_by_history.OWN_HORIZONS:
        taught["library"] = _library(scaled, arrays, taught["coefficients"], tuning, horizon, count)
    else:
        taught["library"] = measured_library(scaled, arrays, taught["library"], taught["coefficients"])
    return taught


def _library(scaled: Scaled, arrays: Seasonal, common: Floats, tuning: Tuning, horizon: int, count: int) -> Float32s:
    """Error paths (count, h): one origin each, from as many different series as there are."""
    series = np.arange(count) % len(scaled.raw)
    used = np.unique(series)
    forecast = seasonal_forecast(scaled.take(used), arrays.take(used), common, tuning, horizon)
    origins = np.arange(count) % forecast.errors.shape[1]
    return np.asarray(forecast.errors[np.searchsorted(used, series), origins])


def _floor_ratio(scaled: Scaled) -> float:
    level = np.abs(scaled.centre)
    ratio = scaled.scale[level > 0] / level[level > 0]
    return float(np.clip(FLOOR_SHARE * np.median(ratio), 1e-6, 1e-2)) if len(ratio) else untaught.FLOOR_RATIO


def _check(values: Floats, horizon: int, levels: tuple[float, ...]) -> None:
    if values.ndim != 2:
        raise ValueError(f"values must be (series, steps), not of shape {values.shape}")
    if len(values) and not values.shape[1]:
        raise ValueError(f"values must hold at least one step, not {values.shape}")
    if horizon < 1:
        raise ValueError(f"horizon must be at least one step, not {horizon}")
    steps = np.diff([0.0, *levels, 1.0])
    if len(levels) == 0 or not (steps > 0).all():
        raise ValueError("levels must ascend strictly between 0 and 1")
