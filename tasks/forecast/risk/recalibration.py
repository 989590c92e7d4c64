"""Breach probabilities made honest: a logistic curve from foretold to observed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.forecast.batch import Floats
from tasks.forecast.past_crossings import logit
from tasks.reliability import paired

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
        return _logistic(self.intercept + self.slope * logit(np.asarray(probability, dtype=float), CLOSEST_TO_CERTAIN))


UNTOUCHED = Recalibration()


def fit_recalibration(probability: Floats, happened: Floats) -> Recalibration:
    """Fit the curve to resolved forecasts (Platt 1999), shrunk toward leaving probabilities as they are.

    `probability` and `happened` (0 or 1) have one entry a forecast; entries that are not finite are left
    out. The slope is kept positive: recalibration may flatten a ranking, never reverse it.
    """
    p, y = paired(probability, happened)
    if len(p) < ENOUGH_FORECASTS:
        return Recalibration(forecasts=len(p))
    design = np.stack([np.ones(len(p)), logit(p, CLOSEST_TO_CERTAIN)], axis=1)
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


def _logistic(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -50, 50))))
