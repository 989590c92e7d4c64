"""Autoregressions of single series on the hours, the day and the weeks before, carried on step by step.

A seasonal model (Box & Jenkins 1970) multiplies a short, a daily and a weekly part; here the lags around each are free.
What such a model missed at a past origin needs no second run: the error k steps ahead is the sum of the one-step errors
since, each weighted by how far the model carries a shock (its moving-average form).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.forecast.batch import Float32s, Floats, Ints
from tasks.forecast.fleet.seasonal import windows

HUBER_LIMIT = 2.0  # mean errors
RIDGE = 1e-4
LARGEST_VALUE = 50.0
BEYOND = 1.0  # scale units past the extremes of the history that a course may reach


@dataclass(frozen=True)
class Autoregression:
    """Models of n series over t steps: `coefficients` (n, lags + 1), the constant last, and one-step errors."""

    lags: tuple[int, ...]
    values: Float32s  # (n, t)
    coefficients: Float32s
    missed: Float32s  # (n, t): observed − foretold one step before, 0 before the first origin

    @property
    def first_origin(self) -> int:
        """Earliest origin with all lags behind its first step."""
        return self.lags[-1] - 1

    def ahead(self, horizon: int) -> Float32s:
        """Course (n, horizon) after the last step."""
        n, t = self.values.shape
        course = np.concatenate([self.values, np.empty((n, horizon), dtype=np.float32)], axis=1)
        back = np.asarray(self.lags)
        for step in range(t, t + horizon):
            # Plain indexing would put the lags first, and then the order of the sum depends on the number of series.
            carried = (np.take(course, step - back, axis=1) * self.coefficients[:, :-1]).sum(axis=1)
            course[:, step] = carried + self.coefficients[:, -1]
        return self._cut(course[:, t:])

    def past(self, origins: Ints, horizon: int) -> Float32s:
        """Courses (n, origins, horizon) from past origins, none before `first_origin`."""
        carried = windows(self.missed, origins, horizon, horizon) @ self._shocks(horizon)
        return self._cut(windows(self.values, origins, horizon, horizon) - carried)

    def _shocks(self, horizon: int) -> Float32s:
        """How much of a shock at each step is left at each later one, (n, horizon, horizon)."""
        left = np.zeros((len(self.values), horizon + 1), dtype=np.float32)  # the last column stays 0: no shock yet
        left[:, 0] = 1
        for step in range(1, horizon):
            near = [lag for lag in self.lags if lag <= step]  # the first ones: lags ascend
            back = step - np.asarray(near, dtype=np.intp)
            left[:, step] = (np.take(left, back, axis=1) * self.coefficients[:, : len(near)]).sum(axis=1)
        since = np.arange(horizon) - np.arange(horizon)[:, None]
        return np.take(left, np.where(since >= 0, since, horizon), axis=1)

    def _cut(self, courses: Float32s) -> Float32s:
        """Courses (n, …, horizon) kept near the range of the history, whatever an unstable model says."""
        shape = (-1, *(1,) * (courses.ndim - 1))
        low, high = self.values.min(axis=1).reshape(shape), self.values.max(axis=1).reshape(shape)
        return np.asarray(np.minimum(np.maximum(courses, low - BEYOND, out=courses), high + BEYOND, out=courses))


def fit_autoregression(values: Float32s, lags: tuple[int, ...]) -> Autoregression:
    """Fit each series of `values` (n, t) by least squares, then once more with Huber weights; `lags` ascend."""
    values = np.clip(values, -LARGEST_VALUE, LARGEST_VALUE)
    n, t = values.shape
    first = lags[-1]
    rows = np.ones((n, len(lags) + 2, t - first), dtype=np.float32)  # the lags, the constant and, last, the target
    for place, lag in enumerate(lags):
        rows[:, place] = values[:, first - lag : t - lag]
    rows[:, -1] = values[:, first:]
    weight = np.ones((n, t - first), dtype=np.float32)
    for _ in range(2):
        coefficients = _solve(((rows * weight[:, None]) @ rows.transpose(0, 2, 1)).astype(float))
        missed = rows[:, -1] - (coefficients[:, None] @ rows[:, :-1])[:, 0]
        size = np.abs(missed)
        weight = 1 / np.maximum(1, size / (HUBER_LIMIT * size.mean(axis=1, keepdims=True) + np.float32(1e-6)))
    # What a step misses when it does not teach its own model is larger by its leverage, on average p / n (Allen 1974).
    missed /= np.float32(1 - (len(lags) + 1) / max(t - first, 2 * len(lags) + 2))
    errors = np.concatenate([np.zeros((n, first), dtype=np.float32), missed], axis=1)
    return Autoregression(lags, values, coefficients, errors)


def _solve(grams: Floats) -> Float32s:
    """Coefficients (n, p) from sums of products (n, p + 1, p + 1) of inputs and target."""
    square, cross = grams[:, :-1, :-1], grams[:, :-1, -1:]
    typical = np.einsum("npp->n", square) / square.shape[1]
    penalty = (RIDGE * typical + 1e-6)[:, None, None] * np.eye(square.shape[1])
    return np.asarray(np.linalg.solve(square + penalty, cross)[..., 0], dtype=np.float32)
