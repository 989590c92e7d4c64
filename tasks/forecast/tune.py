"""Pick for a whole fleet what a backtest on part of it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from tasks.forecast import ladder, lag_ridge
from tasks.forecast.batch import Float32s, Floats
from tasks.forecast.model import Tuning, mixed, pool, seasonal_forecast
from tasks.forecast.prepare import prepare, scale_histories
from tasks.forecast.seasonal import first_origin, seasonal_arrays

TUNE_SAMPLE = 48  # series
LEAST_SERIES = 8  # fewer prove nothing
JUDGED_STEPS = 72  # of the horizon, evenly spread
MODELS = ((8.0, 0.3), (3.0, 1.0), (8.0, 0.1))  # (winsor_mads, shrinkage); the first is the default
RAW_SHARES = (1 / 3, 0.0)  # likewise
LAG_SHARES = (0.0, 0.3)  # likewise, tried where the lag ridge serves
SMALL_LOSS = 0.02  # in units of the scale; below it differences are noise


@dataclass(frozen=True)
class _Trial:
    tuning: Tuning
    losses: Floats  # (n,): mean quantile loss of each series, in units of its scale


def backtest_tuning(sample: Floats, season: int, week: int | None, horizon: int, levels: tuple[float, ...]) -> Tuning:
    """The tuning that forecast the last horizon of the sample best.

    Judged by the mean log of the scaled quantile loss, so that no single series decides; picking a model
    series by series does worse than one for the fleet. With too little history to hold a horizon back: the
    defaults.
    """
    known = sample[:TUNE_SAMPLE, : max(sample.shape[1] - horizon, 0)]
    length = known.shape[1]
    if length < ladder.SEASONAL_CYCLES * season or length - 1 - horizon < first_origin(season):
        return Tuning()
    truth = sample[:TUNE_SAMPLE, length:]
    trials = [trial for model in MODELS for trial in _trials(known, truth, season, week, horizon, model, levels)]
    if not trials:
        return Tuning()
    return _best(trials).tuning


def _best(trials: list[_Trial]) -> _Trial:
    """The trial of lowest mean log loss, or the default, which stands first, unless beaten by a standard error.

    No series counts for more than a quarter: one gone wild must not choose for the others.
    """
    default = np.log(trials[0].losses + SMALL_LOSS)
    gains = [np.clip(np.log(trial.losses + SMALL_LOSS) - default, -0.25, 0.25) for trial in trials]
    best = int(np.argmin([gain.mean() for gain in gains]))
    doubt = gains[best].std() / np.sqrt(len(default))
    return trials[best] if gains[best].mean() < -doubt else trials[0]


def _trials(
    known: Floats,
    truth: Floats,
    season: int,
    week: int | None,
    horizon: int,
    model: tuple[float, float],
    levels: tuple[float, ...],
) -> Iterator[_Trial]:
    history = prepare(known, season, model[0])
    rows = np.flatnonzero(~ladder.constant(history) & np.isfinite(truth).all(axis=1))
    if len(rows) < LEAST_SERIES:
        return
    scaled = scale_histories(history, season).take(rows)
    steady = history.slope[rows, None] * np.arange(1, horizon + 1)
    ahead = (truth[rows] - steady - scaled.centre[:, None]) / scaled.scale[:, None]
    ahead32 = np.clip(ahead, -1e6, 1e6).astype(np.float32)
    unit = scaled.scale / _raw_scale(history.raw[rows], season)  # winsorising changes a model's own scale
    arrays = seasonal_arrays(scaled.model, season, week, horizon)
    pooled = pool(arrays, horizon)
    # Smaller shares of raw windows than the largest tried leave some of them out.
    forecast = seasonal_forecast(scaled, arrays, pooled, Tuning(*model, max(RAW_SHARES)), horizon)
    other = lag_ridge.lag_course(arrays, pooled.lags, horizon) if pooled.lags is not None else None
    judged = slice(None, None, -(-horizon // JUDGED_STEPS))
    for raw_share, lag_share in product(RAW_SHARES, LAG_SHARES if other is not None else LAG_SHARES[:1]):
        kept = round(forecast.errors.shape[1] * raw_share / (1 - raw_share))
        course = mixed(forecast.predicted, other, lag_share) if other is not None else forecast.predicted
        part = replace(forecast, predicted=course, raw=forecast.raw[:, :kept])
        misses = ahead32[:, judged, None] - part.at(judged).quantiles(levels)
        yield _Trial(Tuning(*model, raw_share, lag_share), _quantile_loss(misses, levels) * unit)


def _raw_scale(raw: Floats, season: int) -> Floats:
    extent = raw.max(axis=1) - raw.min(axis=1)
    change = np.abs(raw[:, season:] - raw[:, :-season]).mean(axis=1)
    return np.asarray(np.maximum(change, 0.01 * extent))


def _quantile_loss(misses: Float32s, levels: tuple[float, ...]) -> Floats:
    level = np.asarray(levels, dtype=np.float32)
    return np.asarray(2 * np.maximum(level * misses, (level - 1) * misses).mean(axis=(1, 2)), dtype=float)
