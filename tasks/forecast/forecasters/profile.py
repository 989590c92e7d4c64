"""Yesterday's shape at today's level: for loads whose level jumps from day to day while the day's shape returns.

Where such a series is positive it is followed in logarithms, so that another level shifts the shape as a factor and
errors grow with the level, as they do in traffic that people cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from storage.errors import ForeactError
from tasks.forecast.batch import Floats, ForecastBatch, Ints
from tasks.forecast.fleet.prepare import MIN_USABLE_POINTS, NO_WINSORISING, prepare
from tasks.forecast.forecasters.protocol import Forecaster

NAMES = ("profile",)
USUAL_TRUST = 0.6
TRUST_ORIGINS = 100
SMOOTHED_STEPS = 7
LEVEL_STEPS = (1, 2)
MOST_PATHS = 200
TINY_RATIO = 1e-3


def build(detail: str, options: Mapping[str, Any]) -> Forecaster:
    """The profile forecaster; `trust` in [0, 1] is how far the past days' change is followed, fitted where not given.

    Raises ForeactError on any other option or value.
    """
    trust = options.get("trust")
    is_share = isinstance(trust, int | float) and 0 <= trust <= 1
    if set(options) - {"trust"} or not (trust is None or is_share):
        raise ForeactError(
            code="unknown_forecaster_option",
            message=f"The profile forecaster takes trust between 0 and 1, got {dict(options)}.",
            remedy="Give trust, or nothing and it is fitted to the history.",
        )

    def forecast(
        values: Floats, *, season_lengths: tuple[int, ...], horizon: int, levels: tuple[float, ...], seed: int
    ) -> ForecastBatch:
        return _forecast(values, season_lengths, horizon, levels, None if trust is None else float(trust))

    return forecast


def _forecast(
    values: Floats, season_lengths: tuple[int, ...], horizon: int, levels: tuple[float, ...], trust: float | None
) -> ForecastBatch:
    """The level of the last few steps, plus trust × the mean change of the past days from this phase on.

    Each path adds the error which that rule made from one past origin. Under a season of history the level stays.
    """
    season = min((length for length in season_lengths if length > 1), default=1)
    history = prepare(np.asarray(values, dtype=float), season, NO_WINSORISING)
    raw = history.trending
    is_positive = np.asarray(raw.min(axis=1) > 0)
    work = np.where(is_positive[:, None], _logs(raw), raw)
    paths = np.stack([_paths(row, season, horizon, trust) for row in work])
    paths[is_positive] = np.exp(paths[is_positive])
    paths[history.usable < MIN_USABLE_POINTS] = np.nan
    return ForecastBatch.from_paths(paths, levels=levels, method="profile", refusals=history.refusals)


def _logs(raw: Floats) -> Floats:
    least = TINY_RATIO * np.maximum(raw.max(axis=1, keepdims=True), 1e-300)
    return np.asarray(np.log(np.maximum(raw, least)))


def _paths(row: Floats, season: int, horizon: int, trust: float | None) -> Floats:
    """Paths (n_paths, horizon) of one series (n_steps,), with the level taken over the steps that erred least."""
    tried = [_tried(row, season, horizon, trust, steps) for steps in LEVEL_STEPS if steps <= len(row)]
    return min(tried, key=lambda one: one[0])[1]


def _tried(row: Floats, season: int, horizon: int, trust: float | None, level_steps: int) -> tuple[float, Floats]:
    """Mean absolute error of the near steps at past origins, and paths (n_paths, horizon) with each origin's errors."""
    count = len(row)
    first = season + max(LEVEL_STEPS)
    if count - horizon <= first:
        first, trust = max(LEVEL_STEPS), 0.0
    origins = np.unique(np.linspace(first, max(first, count - horizon), MOST_PATHS).astype(int)).clip(1, count)
    level = _level(row, origins, level_steps)
    missed = row[np.minimum(origins[:, None] + np.arange(horizon), count - 1)] - level[:, None]
    changes = _changes(row, origins, season, horizon, level_steps)
    shares = np.full(horizon, trust) if trust is not None else _trusts(changes, missed)
    now = np.array([count])
    ahead = _level(row, now, level_steps)[:, None] + shares * _changes(row, now, season, horizon, level_steps)
    errors = missed - shares * changes
    return float(np.abs(errors[:, : -(-horizon // 4)]).mean()), np.asarray(ahead + errors)


def _trusts(changes: Floats, missed: Floats) -> Floats:
    """How far to follow past changes, per step (horizon,): least squares of what came, (n_origins, horizon) each.

    Smoothed over neighbouring steps, and drawn towards 0.6 as long as there are few origins to tell it by.
    """
    reach = SMOOTHED_STEPS // 2
    along, square = (np.pad((changes * other).sum(axis=0), reach, mode="edge") for other in (missed, changes))
    window = np.ones(SMOOTHED_STEPS)
    fitted = np.convolve(along, window, "valid") / np.maximum(np.convolve(square, window, "valid"), 1e-300)
    weight = len(changes) / (len(changes) + TRUST_ORIGINS)
    return np.asarray(weight * np.clip(fitted, 0.0, 1.0) + (1 - weight) * USUAL_TRUST)


def _changes(row: Floats, origins: Ints, season: int, horizon: int, level_steps: int) -> Floats:
    """Mean change (n_origins, horizon) of the past days from the same phase on, by what lay before each origin."""
    total, days = np.zeros((len(origins), horizon)), np.zeros(len(origins))
    for back in range(season, int(origins.max()) - level_steps + 1, season):
        before = origins - back
        is_known = before >= level_steps
        steps = np.minimum(before[:, None] + np.arange(horizon), origins[:, None] - 1).clip(0)
        change = row[steps] - _level(row, before, level_steps)[:, None]
        total += np.where(is_known[:, None], change, 0.0)
        days += is_known
    return np.asarray(total / np.maximum(days, 1)[:, None])


def _level(row: Floats, ends: Ints, level_steps: int) -> Floats:
    return np.asarray(np.mean([row[np.maximum(ends - back, 0)] for back in range(1, level_steps + 1)], axis=0))
