"""Scores of forecasts against what happened, one value a series; equal to those of darts.metrics."""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Bools, Floats, ForecastBatch, first_true


def seasonal_scale(values: Floats, season: int) -> Floats:
    """Mean |x_t − x_{t−season}| of each history (n, t), the divisor of MASE; NaN steps are left out."""
    with np.errstate(invalid="ignore"):
        change = np.abs(values[:, season:] - values[:, :-season])
    seen = np.isfinite(change)
    return np.asarray(np.where(seen, change, 0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1))


def mase(truth: Floats, point: Floats, scale: Floats) -> Floats:
    """Mean absolute scaled error (n,) (Hyndman & Koehler 2006) for a `scale` from `seasonal_scale`."""
    return _ratio(_mean(np.abs(truth - point)), scale)


def scaled_quantile_loss(truth: Floats, quantiles: Floats, levels: tuple[float, ...], scale: Floats) -> Floats:
    """Twice the mean quantile loss over steps and levels by the scale (n,): a discrete, scaled CRPS."""
    return _ratio(_mean(quantile_loss(truth, quantiles, levels).mean(axis=2)), scale)


def quantile_loss(truth: Floats, quantiles: Floats, levels: tuple[float, ...]) -> Floats:
    """Twice the quantile (pinball) loss at each step and level, shape (n, h, q)."""
    level = np.asarray(levels)
    miss = truth[:, :, None] - quantiles
    return np.asarray(2 * np.maximum(level * miss, (level - 1) * miss))


def interval_coverage(truth: Floats, low: Floats, high: Floats) -> Floats:
    """Share of steps (n,) whose truth lies in [low, high]."""
    return _mean(np.where(np.isfinite(truth), (truth >= low) & (truth <= high), np.nan))


def crossing(truth: Floats, threshold: Floats, within: int) -> tuple[Bools, Floats]:
    """Whether truth (n, h) exceeds each threshold (n,) within so many steps, and at which (from 1; NaN: not)."""
    first = first_true(truth[:, :within] > threshold[:, None])
    happened = np.isfinite(first)
    return happened, np.where(happened, first, np.nan)


def breach_scores(
    forecast: ForecastBatch, truth: Floats, threshold: Floats, within: int
) -> tuple[Floats, Bools, Floats]:
    """Foretold probability (n,), whether it happened, and the error in steps of the time foretold (NaN: no breach)."""
    probability, expected = forecast.breach(upper=threshold, within=within)
    happened, step = crossing(truth, threshold, within)
    foretold = np.where(np.isfinite(expected), expected, within + 1.0)
    return probability, happened, np.abs(foretold - step)


def _mean(values: Floats) -> Floats:
    seen = np.isfinite(values)
    total = np.where(seen, values, 0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(seen.any(axis=1), total / seen.sum(axis=1), np.nan))


def _ratio(values: Floats, scale: Floats) -> Floats:
    """NaN for a series that never moved: it has no scale to be judged by."""
    return np.where(scale > 0, values / np.where(scale > 0, scale, 1), np.nan)
