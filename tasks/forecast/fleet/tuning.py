"""Pick for a whole fleet what a backtest on part of it says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from tasks.forecast.batch import Float32s, Floats
from tasks.forecast.fleet import ensemble, method_by_history
from tasks.forecast.fleet.prepare import prepare, scale_histories
from tasks.forecast.fleet.regression import pooled_coefficients
from tasks.forecast.fleet.seasonal import first_origin, seasonal_arrays
from tasks.forecast.fleet.seasonal_model import Tuning, fit_origins, seasonal_forecasts

TUNE_SAMPLE = 96  # series
LEAST_SERIES = 8  # fewer prove nothing
JUDGED_STEPS = 72  # of the horizon, evenly spread
SHRINKAGES = {8.0: (0.3, 0.1), 3.0: (1.0,)}  # to try with each winsor_mads; the first of all is the default
RAW_SHARES = (1 / 3, 0.0)  # likewise
OPINIONS_SHARES = (0.3, 0.0, 0.6)  # likewise, tried where there are second opinions
SMALL_LOSS = 0.02  # in units of the scale; below it differences are noise
LARGEST_GAIN = 1.0  # of one series, as a logarithm
CERTAINTY = 2.0  # standard errors by which the default must be beaten: series share the weather of a window


@dataclass(frozen=True)
class _Trial:
    tuning: Tuning
    losses: Floats  # (n,): mean quantile loss of each series, in units of its scale


def backtest_tuning(sample: Floats, season: int, week: int | None, horizon: int, levels: tuple[float, ...]) -> Tuning:
    """The tuning that forecast the last horizon of the sample best, and the one that began a week ago.

    The latter meets the days of the week that are ahead now. Judged by the mean log of the scaled quantile loss, so
    that no single series decides; picking a model series by series does worse than one for the fleet. With too little
    history to hold a horizon back: the defaults.
    """
    windows = [
        list(_window_trials(sample, length, season, week, horizon, levels))
        for length in _held_back(sample.shape[1], season, week, horizon)
    ]
    trials = [_together(same) for same in zip(*filter(None, windows), strict=False)]
    return _best(trials).tuning if trials else Tuning()


def _held_back(length: int, season: int, week: int | None, horizon: int) -> list[int]:
    """Lengths of history after which a horizon is judged; one a week ago only where that leaves second opinions."""
    least = max(method_by_history.SEASONAL_CYCLES * season, first_origin(season) + 1 + horizon)
    if length - horizon < least:
        return []
    far = week is not None and horizon < week and length - week >= ensemble.LEAST_WEEKS * week
    return [length - horizon, length - week] if week and far else [length - horizon]


def _window_trials(
    sample: Floats, length: int, season: int, week: int | None, horizon: int, levels: tuple[float, ...]
) -> Iterator[_Trial]:
    past, truth = sample[:, :length], sample[:, length : length + horizon]
    for winsor in SHRINKAGES:
        yield from _trials(past, truth, season, week, horizon, winsor, levels)


def _together(trials: tuple[_Trial, ...]) -> _Trial:
    """One tuning's losses in every window."""
    return _Trial(trials[0].tuning, np.concatenate([trial.losses for trial in trials]))


def _best(trials: list[_Trial]) -> _Trial:
    """The trial of lowest mean log loss, or the default, which stands first, unless beaten with certainty.

    No series counts for more than a factor of e: one gone wild must not choose for the others.
    """
    default = np.log(trials[0].losses + SMALL_LOSS)
    gains = [np.clip(np.log(trial.losses + SMALL_LOSS) - default, -LARGEST_GAIN, LARGEST_GAIN) for trial in trials]
    best = int(np.argmin([gain.mean() for gain in gains]))
    doubt = gains[best].std() / np.sqrt(len(default))
    return trials[best] if gains[best].mean() < -CERTAINTY * doubt else trials[0]


def _trials(
    past: Floats,
    truth: Floats,
    season: int,
    week: int | None,
    horizon: int,
    winsor: float,
    levels: tuple[float, ...],
) -> Iterator[_Trial]:
    """Trials of one `winsor_mads`: all series teach what is pooled, the first of them are judged."""
    history = prepare(past, season, winsor)
    rows = np.flatnonzero(~method_by_history.constant(history) & np.isfinite(truth).all(axis=1))
    if len(rows) < LEAST_SERIES:
        return
    scaled = scale_histories(history, season).take(rows)
    arrays = seasonal_arrays(scaled.model, season, week, horizon)
    pooled = pooled_coefficients(arrays, fit_origins(past.shape[1], season, horizon), horizon)
    few = np.arange(min(len(rows), TUNE_SAMPLE))
    rows, scaled, arrays = rows[few], scaled.take(few), arrays.take(few)
    steady = history.slope[rows, None] * np.arange(1, horizon + 1)
    ahead = (truth[rows] - steady - scaled.centre[:, None]) / scaled.scale[:, None]
    unit = scaled.scale / _raw_scale(history.raw[rows], season)  # winsorising changes a model's own scale
    shares = OPINIONS_SHARES if ensemble.served(arrays) else OPINIONS_SHARES[:1]
    judged = slice(None, None, -(-horizon // JUDGED_STEPS))
    truth32 = np.clip(ahead, -1e6, 1e6).astype(np.float32)[:, judged, None]
    for shrinkage in SHRINKAGES[winsor]:
        # Smaller shares of raw windows than the largest tried leave some of them out.
        most = Tuning(winsor, shrinkage, max(RAW_SHARES))
        forecasts = seasonal_forecasts(scaled, arrays, pooled, most, horizon, shares)
        for raw_share, (share, forecast) in product(RAW_SHARES, zip(shares, forecasts, strict=True)):
            kept = round(forecast.errors.shape[1] * raw_share / (1 - raw_share))
            misses = truth32 - replace(forecast, raw=forecast.raw[:, :kept]).at(judged).quantiles(levels)
            loss = _quantile_loss(misses, levels) * unit
            yield _Trial(Tuning(winsor, shrinkage, raw_share, share), loss)


def _raw_scale(raw: Floats, season: int) -> Floats:
    extent = raw.max(axis=1) - raw.min(axis=1)
    change = np.abs(raw[:, season:] - raw[:, :-season]).mean(axis=1)
    return np.asarray(np.maximum(change, 0.01 * extent))


def _quantile_loss(misses: Float32s, levels: tuple[float, ...]) -> Floats:
    level = np.asarray(levels, dtype=np.float32)
    return np.asarray(2 * np.maximum(level * misses, (level - 1) * misses).mean(axis=(1, 2)), dtype=float)
