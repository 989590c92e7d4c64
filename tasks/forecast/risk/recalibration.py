"""Breach probabilities made honest: a logistic curve from foretold to observed, and how reliable they were."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.forecast.batch import Floats

ENOUGH_FORECASTS = 100
PRIOR_FORECASTS = 20.0  # that many forecasts of perfect calibration are taken as already seen
CLOSEST_TO_CERTAIN = 1e-3


@dataclass(frozen=True)
class Recalibration:
    """Maps a foretold probability p to logistic(intercept + slope · logit p)."""

    intercept: float = 0.0
    slope: float = 1.0
    forecasts: int = 0

    @property
    def serves(self) -> bool:
        """Whether enough forecasts have been resolved to change anything."""
        return self.forecasts >= ENOUGH_FORECASTS

    def apply(self, probability: Floats) -> Floats:
        """Recalibrated probabilities; NaN stays NaN, and without enough forecasts all stay as they are."""
        if not self.serves:
            return np.asarray(probability, dtype=float)
        return _logistic(self.intercept + self.slope * _logit(np.asarray(probability, dtype=float)))


UNTOUCHED = Recalibration()


@dataclass(frozen=True)
class Reliability:
    """How foretold probabilities compare with what happened."""

    forecasts: int
    brier: float
    base_rate: float
    auc: float  # NaN where all happened or none
    foretold: Floats  # (bins,): mean probability of the forecasts in each bin
    happened: Floats  # (bins,): share of them that came true
    counts: Floats  # (bins,)


def fit_recalibration(probability: Floats, happened: Floats) -> Recalibration:
    """Fit the curve to resolved forecasts (Platt 1999), shrunk toward leaving probabilities as they are.

    `probability` and `happened` (0 or 1) have one entry a forecast; entries that are not finite are left
    out. The slope is kept positive: recalibration may flatten a ranking, never reverse it.
    """
    p, y = _paired(probability, happened)
    if len(p) < ENOUGH_FORECASTS:
        return Recalibration(forecasts=len(p))
    design = np.stack([np.ones(len(p)), _logit(p)], axis=1)
    prior = np.array([0.0, 1.0])
    weights = prior.copy()
    # A unit of prior precision per forecast would be p(1−p) at one half.
    precision = np.diag([0.25, 0.25]) * PRIOR_FORECASTS
    for _ in range(50):
        fitted = _logistic(design @ weights)
        gradient = design.T @ (y - fitted) - precision @ (weights - prior)
        curvature = design.T @ (design * (fitted * (1 - fitted))[:, None]) + precision
        step = np.linalg.solve(curvature, gradient)
        weights = weights + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return Recalibration(float(weights[0]), float(max(weights[1], 0.05)), len(p))


def reliability(probability: Floats, happened: Floats, bins: int = 10) -> Reliability:
    """Brier score, discrimination and reliability curve of resolved forecasts; empty bins hold NaN."""
    p, y = _paired(probability, happened)
    which = np.minimum((p * bins).astype(int), bins - 1)
    counts = np.bincount(which, minlength=bins).astype(float)
    with np.errstate(invalid="ignore"):
        foretold = np.bincount(which, weights=p, minlength=bins) / counts
        came_true = np.bincount(which, weights=y, minlength=bins) / counts
    return Reliability(
        forecasts=len(p),
        brier=float(((p - y) ** 2).mean()) if len(p) else float("nan"),
        base_rate=float(y.mean()) if len(p) else float("nan"),
        auc=auc(p, y),
        foretold=foretold,
        happened=came_true,
        counts=counts,
    )


def auc(score: Floats, happened: Floats) -> float:
    """Probability that a forecast that came true was rated above one that did not, ties counting half."""
    positive = np.asarray(happened, dtype=float) > 0.5
    if positive.all() or not positive.any():
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    hits = int(positive.sum())
    return float((rank[positive].sum() - hits * (hits + 1) / 2) / (hits * (len(positive) - hits)))


def _paired(probability: Floats, happened: Floats) -> tuple[Floats, Floats]:
    p, y = np.asarray(probability, dtype=float), np.asarray(happened, dtype=float)
    usable = np.isfinite(p) & np.isfinite(y)
    return p[usable], y[usable]


def _logit(p: Floats) -> Floats:
    bounded = np.clip(p, CLOSEST_TO_CERTAIN, 1 - CLOSEST_TO_CERTAIN)
    return np.asarray(np.log(bounded / (1 - bounded)))


def _logistic(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -50, 50))))
