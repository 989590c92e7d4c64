"""What stands in for a fleet that has taught nothing yet: values typical of server metrics.

Measured on histories of 1.25 to 3.5 days at steps of five minutes and an hour, pooled over hundreds of series.
"""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Bools, Float32s, Floats, Ints
from tasks.forecast.fleet.prepare import Scaled
from tasks.forecast.fleet.regression import buckets, by_step
from tasks.forecast.fleet.seasonal import FEATURES, Seasonal, features_at

FLOOR_RATIO = 1e-4
ERROR_WIDTH = 0.52  # of a forecast far ahead, in units of the mean seasonal change
GROWTH = 0.15  # of the width over each season ahead
FADING = 10.0  # today's deviation falls by a factor e in a tenth of a season
FRESH_SHARE = 0.35  # of the error's variance that is new at every step


def coefficients(season: int, horizon: int, weekly: bool) -> Floats:
    """Coefficients (buckets, features): most of today's deviation from the base goes on, and soon fades."""
    table = np.zeros((len(buckets(horizon)), len(FEATURES) if weekly else len(FEATURES) - 1))
    for row, (first, end) in zip(table, buckets(horizon), strict=True):
        fading = np.exp(-FADING * (first + end - 1) / 2 / season)
        values = {"naive": 0.2, "curvature": 0.07, "cycle": 0.01}
        values |= {"level": 0.85 * fading, "last": 0.1 * fading}
        for name, value in values.items():
            row[FEATURES.index(name)] = value
    return table


def error_library(season: int, horizon: int, count: int, seed: int) -> Float32s:
    """Error paths (count, h) of a first-order autoregression plus fresh noise, with heavy tails across paths."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((2, count, horizon))
    rho = np.exp(-FADING / season)
    drift, drifting = np.zeros(count), np.empty((count, horizon))
    for step in range(horizon):
        drift = rho * drift + np.sqrt(1 - rho**2) * noise[0, :, step]
        drifting[:, step] = drift
    stretch = student_stretch(count, rng)
    mixed = np.sqrt(1 - FRESH_SHARE) * drifting + np.sqrt(FRESH_SHARE) * noise[1]
    growth = 1 + GROWTH * np.arange(1, horizon + 1) / season
    return np.asarray((ERROR_WIDTH * growth * mixed * stretch[:, None]).astype(np.float32))


def student_stretch(count: int, rng: np.random.Generator) -> Floats:
    """Factors (count,), in random order, that give pooled normal errors the tails of a Student t of two degrees.

    They are √(2 / χ²) at evenly spread probabilities, so that a few dozen already hold both quiet and wild series;
    the quantile of χ² with two degrees of freedom is −2·log(1 − p).
    """
    share = (rng.permutation(count) + 0.5) / count
    return np.asarray(1 / np.sqrt(-np.log1p(-share)))


DAY_LIKENESS = 0.5
HOURS = 24.0


def day_likeness(scaled: Scaled, start: Ints, season: int) -> tuple[Floats, Floats]:
    """Correlation (n,) of each series since `start` with itself a day before, and of how many hours (n,) it was taken.

    Both days are seen relative to the mean of all: a few hours alone do not show how far they lie from the others.
    Hours that rest on one value tell nothing.
    """
    values = scaled.model.astype(float)
    inside = np.arange(values.shape[1]) >= start[:, None]
    mean = (values * inside).sum(axis=1) / np.maximum(inside.sum(axis=1), 1)
    beside = np.where(inside, values - mean[:, None], 0)
    now, before = np.where(inside[:, :-season], beside[:, season:], 0), beside[:, :-season]
    size = np.sqrt((now**2).sum(axis=1) * (before**2).sum(axis=1))
    moved = (_extent(values[:, season:]) > 0) & (_extent(values[:, :-season]) > 0) & (size > 0)
    alike = np.where(moved, (now * before).sum(axis=1) / np.where(moved, size, 1), 0.0)
    return alike, inside[:, :-season].sum(axis=1) * (HOURS / season)


def _extent(values: Floats) -> Floats:
    return np.asarray(values.max(axis=1) - values.min(axis=1))


ROUGHNESS = 0.5


def roughness(values: Floats, inside: Bools) -> Floats:
    """How little the steps of each series know of the one before, (n,): 0 for one that drifts, 1 for one of pure noise.

    Half by ranks: a single spike makes the values of a drifting series look rough.
    """
    return (_relative_change(values, inside) + _relative_change(_ranks(values, inside), inside)) / 2


def _relative_change(values: Floats, inside: Bools) -> Floats:
    """Mean squared change over twice the variance (n,); 1 where nothing moves."""
    count = inside.sum(axis=1)
    mean = np.where(inside, values, 0).sum(axis=1) / count
    variance = (np.where(inside, values - mean[:, None], 0) ** 2).sum(axis=1) / count
    change = (np.where(inside[:, :-1], np.diff(values, axis=1), 0) ** 2).sum(axis=1) / np.maximum(count - 1, 1)
    return np.where(variance > 0, change / np.where(variance > 0, 2 * variance, 1), 1.0)


def _ranks(values: Floats, inside: Bools) -> Floats:
    """Ranks (n, t) of the values inside, those that are equal sharing one."""
    kept = np.where(inside, values, np.inf)
    order = np.argsort(kept, axis=1)
    ordered = np.take_along_axis(kept, order, axis=1)
    places = np.arange(values.shape[1])
    begins = np.concatenate([np.ones((len(values), 1), dtype=bool), ordered[:, 1:] != ordered[:, :-1]], axis=1)
    ends = np.concatenate([begins[:, 1:], np.ones((len(values), 1), dtype=bool)], axis=1)
    first = np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, places, values.shape[1])[:, ::-1], axis=1)[:, ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2, axis=1)
    return ranks


YOUTH_POWER = 1.5  # a base made of one cycle doubles the error; four add an eighth
ORIGINS = 8
LEVEL = 0.83  # of the errors' size that is compared: outer ones need more series than a young fleet has
SERIES_FOR_HALF = 30.0
LARGEST_CORRECTION = 3.0


def inflation(cycles: float) -> float:
    """How much larger errors are after so many cycles of history than after many."""
    return 1 + float(cycles**-YOUTH_POWER)


def measured_library(scaled: Scaled, arrays: Seasonal, library: Float32s, coefficients: Floats) -> Float32s:
    """A `library` of error paths (s, h), stretched at each step to the errors the fleet has made so far.

    Errors are those of `coefficients` (buckets, features) at up to eight origins after the first cycle, as far ahead
    as the history reaches; beyond, what was measured last goes on.
    """
    horizon, t = library.shape[1], arrays.values.shape[1]
    measured = []
    for i, (first, end) in enumerate(buckets(horizon)):
        steps = np.unique(np.linspace(first, end - 1, 3).astype(np.intp))
        origins = np.arange(arrays.season, t - int(steps[-1]))
        if len(origins):
            chosen = origins[np.unique(np.linspace(0, len(origins) - 1, ORIGINS).astype(np.intp))]
            measured.append(_ratio(_errors(scaled, arrays, coefficients[i], chosen, steps), library[:, steps - 1]))
    ratios = smoothed_ratios(measured, len(buckets(horizon)))
    return np.asarray(library * by_step(ratios[None, :, None], horizon)[:, :, 0])


def smoothed_ratios(measured: list[float], count: int) -> Floats:
    """Ratios (count,) from the `measured` ones of the first buckets, each drawn halfway to its neighbours.

    The farthest rest on few origins, and the last of all stands for every bucket beyond: one that widens as it is, one
    that narrows half as much in each bucket more, since small errors soon after do not show that those later are small.
    """
    if not measured:
        return np.ones(count)
    logs = np.log(np.pad(measured, 1, mode="edge"))
    smooth = (logs[:-2] + 2 * logs[1:-1] + logs[2:]) / 4
    beyond = np.arange(1, count - len(smooth) + 1)
    last = float(smooth[-1])
    return np.asarray(np.exp(np.concatenate([smooth, last * 0.5**beyond if last < 0 else np.full(len(beyond), last)])))


def _errors(scaled: Scaled, arrays: Seasonal, coefficients: Floats, origins: Ints, steps: Ints) -> Floats:
    """Errors (n, k, o) as they would have been after many cycles."""
    base, features = features_at(arrays, origins, steps)
    predicted = base + sum(
        (feature * np.float32(weight) for feature, weight in zip(features, coefficients, strict=False)),
        start=np.float32(0),
    )
    truth = scaled.raw[:, origins + steps[:, None]]
    youth = np.array([inflation((origin + 1) / arrays.season) for origin in origins.tolist()])
    return np.asarray((truth - predicted) / youth)


def _ratio(errors: Floats, library: Float32s) -> float:
    """How much wider the errors are than the library's, drawn toward not at all where few series tell."""
    measured, expected = np.quantile(np.abs(errors), LEVEL), np.quantile(np.abs(library), LEVEL)
    if measured <= 0 or expected <= 0:
        return 1.0
    trust = len(errors) / (len(errors) + SERIES_FOR_HALF)
    limit = np.log(LARGEST_CORRECTION)
    return float(np.exp(np.clip(trust * np.log(measured / expected), -limit, limit)))
