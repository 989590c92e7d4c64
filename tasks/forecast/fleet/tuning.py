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
from tasks.forecast.fleet.resting import resting_values, settle
from tasks.forecast.fleet.seasonal import first_origin, seasonal_arrays
from tasks.forecast.fleet.seasonal_model import Tuning, fit_origins, seasonal_forecast, seasonal_forecasts
from tasks.forecast.fleet.widths import COVERED, INTERVAL, agreed_width
from tasks.forecast.past_crossings import mixed, past_share

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


PAST_WEIGHTS = (0.4, 0.0, 0.2, 0.6)  # to try; the first is the default
PAST_CERTAINTY = 1.0  # standard errors: the default itself was measured on many fleets
BREACHES = ((0.95, 8), (0.99, 1))  # quantile of the history that is crossed, and in which part of the horizon
JUDGED_ENDS = 3  # a day apart: what the last days alone missed says too much of their weather
WIDTH_TRUST = 0.6  # of what errors missed at every end, as a logarithm
LEAST_SIDE = 1e-6  # of a scale: narrower sides of an interval are what rounding makes of a point


@dataclass(frozen=True)
class _Judged:
    """How a fleet foretold one horizon held back: `reach` (n, h) is how far truth lay beyond the median, in widths of
    the interval on that side; `breaches` (m, weights) are squared errors of probabilities."""

    reach: Floats
    breaches: Floats


def backtest_spread(
    sample: Floats, season: int, week: int | None, horizon: int, tuning: Tuning
) -> tuple[Tuning, float]:
    """The tuning with the width its errors need, and how much past windows count in the probability of a breach.

    Errors at origins that taught the model are too small, the more so the fewer there are. Both are taken from the last
    horizons held back: most of the width that was missing at every end, and the weight halfway from its default if
    another foretold better with certainty. Unchanged where there is too little history.
    """
    length = sample.shape[1]
    least = max(method_by_history.SEASONAL_CYCLES * season, first_origin(season) + 1 + horizon)
    ends = [end for end in range(length - horizon, length - horizon - JUDGED_ENDS * season, -season) if end >= least]
    judged = [
        found
        for end in ends
        if (found := _judge(sample[:, :end], sample[:, end : end + horizon], season, week, tuning)) is not None
    ]
    if not judged:
        return tuning, PAST_WEIGHTS[0]
    beyond = [float(np.quantile(each.reach, COVERED)) for each in judged]
    width = agreed_width(np.log(np.maximum(beyond, 1e-3)), WIDTH_TRUST)
    return replace(tuning, width=width), _best_weight(np.concatenate([each.breaches for each in judged]))


def _best_weight(losses: Floats) -> float:
    gains = losses - losses[:, :1]
    best = int(gains.mean(axis=0).argmin())
    doubt = gains[:, best].std() / np.sqrt(len(gains))
    is_better = gains[:, best].mean() < -PAST_CERTAINTY * doubt
    return (PAST_WEIGHTS[0] + PAST_WEIGHTS[best]) / 2 if is_better else PAST_WEIGHTS[0]


def _judge(past: Floats, truth: Floats, season: int, week: int | None, tuning: Tuning) -> _Judged | None:
    """What the fleet would have foretold after a `past` (n, t) beside what came; None where few can be judged."""
    horizon = truth.shape[1]
    history = prepare(past, season, tuning.winsor_mads)
    usable = ~method_by_history.constant(history) & np.isfinite(truth).all(axis=1) & (history.slope == 0)
    rows = np.flatnonzero(usable)[:TUNE_SAMPLE]
    if len(rows) < LEAST_SERIES:
        return None
    scaled = scale_histories(history, season).take(rows)
    arrays = seasonal_arrays(scaled.model, season, week, horizon)
    pooled = pooled_coefficients(arrays, fit_origins(past.shape[1], season, horizon), horizon)
    forecast = seasonal_forecast(scaled, arrays, pooled, tuning, horizon)
    paths, quantiles = forecast.paths(), forecast.quantiles(INTERVAL)
    rested = settle(paths, quantiles, resting_values(history.take(rows), season, horizon), scaled)
    ahead = (truth[rows] - rested.centre[:, None]) / rested.scale[:, None]
    values = (history.raw[rows] - rested.centre[:, None]) / rested.scale[:, None]
    low, middle, high = np.moveaxis(quantiles.astype(float), 2, 0)
    miss = ahead - middle
    reach = np.abs(miss) / np.maximum(np.where(miss > 0, high - middle, middle - low), LEAST_SIDE)
    losses = _breach_losses(paths, values, ahead)
    return _Judged(reach, np.concatenate(losses))


def _breach_losses(paths: Float32s, values: Floats, ahead: Floats) -> list[Floats]:
    """Squared errors (breaches, weights) of the probabilities that each weight gives, for each kind of breach."""
    losses = []
    for (level, part), side in product(BREACHES, (1, -1)):
        within = max(ahead.shape[1] // part, 1)
        bound = np.quantile(side * values, level, axis=1)
        crossed = (side * paths[:, :, :within] > bound[:, None, None]).any(axis=2).mean(axis=1)
        shares = past_share(side * values, bound, True, within)
        happened = np.asarray((side * ahead[:, :within] > bound[:, None]).any(axis=1))
        tried = [mixed(crossed, shares, np.full(len(values), weight)) for weight in PAST_WEIGHTS]
        within_bound = np.flatnonzero(side * values[:, -1] <= bound)
        losses.append(np.square(np.stack(tried, axis=1) - happened[:, None])[within_bound])
    return losses


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
