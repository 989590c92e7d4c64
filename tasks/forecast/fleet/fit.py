"""What a fleet learns once and then serves every chunk of it: coefficients, an error library, offsets, a tuning."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tasks.forecast.batch import LEVELS, Float32s, Floats
from tasks.forecast.fleet import method_by_history, untaught
from tasks.forecast.fleet.offsets import no_offsets
from tasks.forecast.fleet.prepare import MIN_USABLE_POINTS, NO_WINSORISING, Scaled, prepare, scale_histories
from tasks.forecast.fleet.regression import pooled_coefficients
from tasks.forecast.fleet.seasonal import FEATURES, Seasonal, seasonal_arrays
from tasks.forecast.fleet.seasonal_model import Tuning, fit_origins, path_counts, seasonal_forecast
from tasks.forecast.fleet.stocks import without_falls
from tasks.forecast.fleet.tuning import backtest_spread, backtest_tuning
from tasks.forecast.fleet.untaught import measured_library

FIT_SAMPLE = 128  # series; more of them change the pooled coefficients by less than their own error
FLOOR_SHARE = 0.01


@dataclass(frozen=True)
class FleetState:
    """Everything `forecast_chunk` needs beside the values. Serialisable, so that a store can keep it for a day."""

    season_lengths: tuple[int, ...]
    horizon: int
    levels: tuple[float, ...]
    seed: int
    tuning: Tuning
    coefficients: Floats  # (buckets, features)
    library: Float32s  # (paths, h): errors of other series, in units of their scale
    offsets: Floats  # (buckets, levels): added to quantiles, in units of the scale
    floor_ratio: float  # width of a constant series relative to its level
    past_weight: float  # of what a series' past windows did, in the probability that it crosses a bound
    roughness: float  # how little a step tells of the next, in the last day and a bit: the median of the fleet
    day_likeness: float  # how much a day tells of the next, as a correlation: the median of the fleet
    fitted_series: int  # how many series taught the coefficients; 0: defaults

    @property
    def season(self) -> int:
        """A day in steps; 1 without a season."""
        return _seasons(self.season_lengths)[0]

    @property
    def week(self) -> int | None:
        """A week in steps, if there is one and the fleet has learned to use it."""
        return _seasons(self.season_lengths)[1] if self.coefficients.shape[1] == len(FEATURES) else None

    def serves(self, season_lengths: tuple[int, ...], horizon: int, levels: tuple[float, ...] = LEVELS) -> bool:
        """Whether a kept state answers this question; one a day old costs less than .5 % of accuracy."""
        mine = self.season_lengths, self.horizon, self.levels
        return mine == (tuple(season_lengths), horizon, tuple(levels))

    @property
    def path_count(self) -> int:
        return sum(path_counts(self.horizon, self.tuning.raw_share))

    def to_json(self) -> str:
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in asdict(self).items()}
        return json.dumps(plain)

    @classmethod
    def from_json(cls, text: str) -> FleetState:
        plain: dict[str, Any] = json.loads(text)
        plain["tuning"] = Tuning(**plain["tuning"])
        for name in ("season_lengths", "levels"):
            plain[name] = tuple(plain[name])
        for name in ("coefficients", "offsets"):
            plain[name] = np.asarray(plain[name], dtype=float)
        plain["library"] = np.asarray(plain["library"], dtype=np.float32)
        return cls(**plain)


def fit_shared(
    values: Floats,
    *,
    season_lengths: tuple[int, ...],
    horizon: int,
    levels: tuple[float, ...],
    seed: int,
) -> FleetState:
    """Learn what the series of a fleet share, from up to 128 of them; arguments as for `forecast_batch`.

    With no series of four cycles the defaults stand: coefficients and errors typical of server metrics.
    """
    _check(values, horizon, levels)
    season, week = _seasons(season_lengths)
    values = without_falls(values, season)
    sample = _sample(values, season, method_by_history.least_to_teach(season, horizon))
    tuning = backtest_tuning(sample, season, week, horizon, levels)
    tuning, past_weight = backtest_spread(sample, season, week, horizon, tuning)
    if not len(sample):
        sample = young_sample(values, season)
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


def young_sample(values: Floats, season: int) -> Floats:
    """Series (n, t) that show a season, as many as teach a fleet."""
    return _sample(values, season, math.ceil(method_by_history.POOLED_CYCLES * season) + 1)


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


def _seasons(season_lengths: tuple[int, ...]) -> tuple[int, int | None]:
    """A day and, if there is one, a week in steps."""
    longer = sorted(int(m) for m in season_lengths if m > 1)
    return (longer[0] if longer else 1), (longer[1] if len(longer) > 1 else None)


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
