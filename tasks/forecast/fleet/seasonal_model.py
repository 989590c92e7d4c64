"""The seasonal model of a chunk of series: predictions, errors made at past origins, raw past windows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tasks.forecast.batch import Float32s, Floats, Ints, quantiles_around, quantiles_of_sorted
from tasks.forecast.fleet import ensemble
from tasks.forecast.fleet.error_paths import phase_scale, raw_windows, rescale_errors
from tasks.forecast.fleet.prepare import Scaled
from tasks.forecast.fleet.regression import by_step, series_coefficients
from tasks.forecast.fleet.seasonal import Seasonal, first_origin, predict, windows
from tasks.forecast.fleet.walks import hold_walks

FAR_PART = 4  # of the horizon, at its end, tells how alike neighbouring errors are
MOST_MEMORY = 0.9
OPTIMISM = 0.25  # of the width, over the number of independent errors
LONG_HORIZON = 100  # steps; longer paths are costlier, so there are fewer of them


@dataclass(frozen=True)
class Tuning:
    """What is picked once for a whole fleet by a backtest on part of it."""

    winsor_mads: float = 8.0
    shrinkage: float = 0.3
    raw_share: float = 1 / 3
    opinions_share: float = 0.3  # of the course that the second opinions give, where there are any
    width: float = 1.0  # of errors at past origins, beside those of a horizon held back


@dataclass(frozen=True)
class SeasonalForecast:
    """Forecast of one chunk in path units."""

    predicted: Float32s  # (n, h)
    errors: Float32s  # (n, o, h) at past origins, rescaled to the phase ahead
    raw: Float32s  # (n, r, h) past windows as they were
    optimism: Float32s  # (n, 1, 1): how much larger errors ahead are than these
    width: float = 1.0  # of the errors in quantiles; paths wider than those would foretell too many breaches

    def at(self, steps: slice) -> SeasonalForecast:
        """The same for some steps of the horizon."""
        return replace(
            self, predicted=self.predicted[:, steps], errors=self.errors[:, :, steps], raw=self.raw[:, :, steps]
        )

    def paths(self) -> Float32s:
        """Joint sample paths (n, o + r, h): errors keep their sign, so skew and bursts stay as they were."""
        return np.concatenate([self.predicted[:, None] + self.errors, self.raw], axis=1)

    def quantiles(self, levels: tuple[float, ...]) -> Float32s:
        """Quantiles (n, h, q). Errors count with both signs: the median of a few dozen is mostly noise.

        They are as much larger as ahead; paths keep theirs, since wider ones foretell too many breaches.
        """
        h = self.predicted.shape[1]
        # Over a long horizon every other origin gives the same quantiles to a thousandth, in half the time.
        errors = ((self.errors[:, ::2] if h > LONG_HORIZON else self.errors) * self.optimism).transpose(0, 2, 1)
        if self.width != 1:
            errors = errors * np.float32(self.width)
        if not self.raw.shape[1]:
            return quantiles_around(self.predicted, errors, levels)
        raws = [self.raw.transpose(0, 2, 1)] * (1 if h > LONG_HORIZON else 2)
        ahead = self.predicted[:, :, None]
        values = np.concatenate([ahead + errors, ahead - errors, *raws], axis=2)
        values.sort(axis=2)
        return quantiles_of_sorted(values, levels)


def path_counts(horizon: int, raw_share: float) -> tuple[int, int]:
    """Number of error paths and of raw past windows for a horizon."""
    total = 54 if horizon > LONG_HORIZON else 108
    raw = round(total * raw_share)
    return total - raw, raw


def fit_origins(length: int, season: int, horizon: int) -> Ints:
    """Past origins on which coefficients are fitted: more of them where the horizon is short."""
    first, last = first_origin(season), length - 1 - horizon
    return np.linspace(first, max(first, last), 36 if horizon > LONG_HORIZON else 144).astype(np.intp)


def path_origins(length: int, season: int, horizon: int, count: int) -> Ints:
    """`count` evenly spaced origins up to the last with its whole horizon known, from the first usable on."""
    first, last = first_origin(season), length - 1 - horizon
    stride = (last - first) // max(count - 1, 1)
    if stride < 1:
        return np.linspace(first, max(first, last), count).astype(np.intp)
    return np.arange(last - stride * (count - 1), last + 1, stride)


def seasonal_forecast(
    scaled: Scaled, arrays: Seasonal, pooled: Floats, tuning: Tuning, horizon: int
) -> SeasonalForecast:
    """Forecast a chunk with coefficients of its own, shrunk toward the fleet's `pooled` ones (buckets, features)."""
    return seasonal_forecasts(scaled, arrays, pooled, tuning, horizon, (tuning.opinions_share,))[0]


def seasonal_forecasts(
    scaled: Scaled, arrays: Seasonal, pooled: Floats, tuning: Tuning, horizon: int, shares: tuple[float, ...]
) -> list[SeasonalForecast]:
    """The forecast with each share of the second opinions, in the course and in the errors made at past origins."""
    t, season = scaled.model.shape[1], arrays.season
    common = pooled[:, : arrays.feature_count]  # a short history has no week
    fitted = series_coefficients(arrays, fit_origins(t, season, horizon), horizon, common, tuning.shrinkage)
    count, raw_count = path_counts(horizon, tuning.raw_share)
    origins = path_origins(t, season, horizon, count)
    steps = by_step(fitted, horizon)
    ahead, past = predict(arrays, np.array([t - 1]), steps)[:, 0], predict(arrays, origins, steps)
    truth, scale = windows(scaled.raw, origins, horizon, horizon), phase_scale(scaled.raw, season)
    hold_walks(ahead, past, scaled.raw, truth, origins, season)
    raw = raw_windows(scaled.raw, season, horizon, raw_count)
    courses, widths = [(ahead, past)] * len(shares), [1.0] * len(shares)
    if max(shares) > 0 and ensemble.served(arrays):
        others = ensemble.ensemble_members(arrays, origins, horizon)
        courses = [(others.mixed_ahead(ahead, share), others.mixed_past(past, share)) for share in shares]
        widths = [1 + ensemble.OPTIMISM * share for share in shares]
    forecasts = []
    for (course, foretold), width in zip(courses, widths, strict=True):
        errors = truth - foretold
        optimism = _optimism(errors)
        rescaled = np.float32(width) * rescale_errors(errors, origins, scale, t)
        forecasts.append(SeasonalForecast(course, rescaled, raw, optimism, tuning.width))
    return forecasts


def _optimism(errors: Float32s) -> Float32s:
    """How much larger errors are ahead than those (n, o, h) that were measured at past origins, (n, 1, 1).

    A series that wanders makes like errors at neighbouring origins: then few are independent, they show less than the
    whole spread, and coefficients of its own fit them too well. Their number is that of a first-order autoregression
    with the same correlation from one to the next.
    """
    # Contiguous, so that sums are taken in the same order however many series there are.
    far = np.ascontiguousarray(np.ascontiguousarray(errors[:, :, -errors.shape[2] // FAR_PART :]).mean(axis=2))
    centred = far - far.mean(axis=1, keepdims=True)
    squares = np.maximum((centred**2).sum(axis=1), np.float32(1e-12))
    memory = np.clip((centred[:, 1:] * centred[:, :-1]).sum(axis=1) / squares, 0, MOST_MEMORY)
    independent = far.shape[1] * (1 - memory) / (1 + memory)
    return np.asarray(1 + OPTIMISM / independent, dtype=np.float32)[:, None, None]
