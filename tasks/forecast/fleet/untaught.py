"""What stands in for a fleet that has taught nothing yet: values typical of server metrics.

Measured on histories of 1.25 to 3.5 days at steps of five minutes and an hour, pooled over hundreds of series.
"""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Float32s, Floats
from tasks.forecast.fleet.prepare import Ints, Scaled
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
        values = {"naive": 0.2, "curvature": 0.07, "cycle": 0.01, "cycle_change": 0.08}
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
    ratios = _smoothed(measured, len(buckets(horizon)))
    return np.asarray(library * by_step(ratios[None, :, None], horizon)[:, :, 0])


def _smoothed(measured: list[float], count: int) -> Floats:
    """Ratios (count,) from the `measured` ones of the first buckets, each drawn halfway to its neighbours.

    The farthest rest on few origins, and the last of all stands for every bucket beyond.
    """
    if not measured:
        return np.ones(count)
    logs = np.log(np.pad(measured, 1, mode="edge"))
    smooth = np.exp((logs[:-2] + 2 * logs[1:-1] + logs[2:]) / 4)
    return np.asarray(np.pad(smooth, (0, count - len(smooth)), mode="edge"))


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
