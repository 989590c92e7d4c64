"""Huber ridge regression per horizon bucket, pooled over the fleet and per series."""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby, pairwise

import numpy as np

from tasks.forecast.batch import Float32s, Floats, Ints
from tasks.forecast.fleet.seasonal import Seasonal, features_at

STEPS_PER_BUCKET = 4
HUBER_LIMIT = 2.0
PRIOR_WEIGHT = 0.5  # of the prior if the origins span one horizon; it falls with their square
FIXED_POINT = 2.0**20  # pooled sums are integers: the order of series cannot change a digit
FIXED_POINT_LIMIT = 2.0**32  # nor can one series outweigh four thousand others


@lru_cache(maxsize=64)
def buckets(horizon: int) -> tuple[tuple[int, int], ...]:
    """Log-spaced ranges [first, end) of horizon steps, counted from 1; 12 for 288 steps."""
    edges = [1]
    while edges[-1] < horizon + 1:
        edges.append(min(horizon + 1, edges[-1] + max(1, round(edges[-1] * 0.6))))
    if len(edges) > 2 and edges[-1] - edges[-2] < 0.5 * (edges[-2] - edges[-3]):
        edges.pop(-2)
    return tuple(pairwise(edges))


def pooled_coefficients(arrays: Seasonal, origins: Ints, horizon: int, prior: Floats | None = None) -> Floats:
    """Coefficients (buckets, features) of one regression over all series, refitted once with Huber weights.

    Each observation is weighted down in proportion to how far it lies beyond one scale unit, so that a
    series gone wild counts no more than any other.
    """
    prior = np.zeros((len(buckets(horizon)), arrays.feature_count)) if prior is None else prior
    independent = max((origins[-1] - origins[0]) / horizon, 0.0) + 1
    ridge = PRIOR_WEIGHT / independent**2
    coefficients = prior.copy()
    for index, steps in enumerate(_bucket_steps(horizon)):
        rows = _design(arrays, origins, steps)
        for _ in range(2):
            residual = _residual(rows, coefficients[index].astype(np.float32))
            weight = np.reciprocal(np.maximum(np.abs(residual), np.float32(1)))
            grams = _weighted_gram(rows, weight) * (FIXED_POINT / rows.shape[2])
            total = np.rint(np.clip(grams, -FIXED_POINT_LIMIT, FIXED_POINT_LIMIT)).astype(np.int64)
            coefficients[index] = _solve_pooled(total.sum(axis=0) / FIXED_POINT, prior[index], ridge)
    return coefficients


def series_coefficients(arrays: Seasonal, origins: Ints, horizon: int, pooled: Floats, shrinkage: float) -> Floats:
    """Coefficients (n, buckets, features) of each series, shrunk toward the pooled ones."""
    n, (count, width) = len(arrays.values), pooled.shape
    chosen = _bucket_steps(horizon)
    rows = _design(arrays, origins, np.concatenate(chosen))
    grams = np.empty((n, count, width + 1, width + 1))
    observations = np.array([len(origins) * len(steps) for steps in chosen])
    begin = 0
    # Neighbouring buckets with as many steps at once.
    for size, members in groupby(range(count), lambda index: int(observations[index])):
        index = list(members)
        end = begin + size * len(index)
        part = rows[:, :, begin:end].reshape(n, width + 1, len(index), size).swapaxes(1, 2)
        residual = np.abs(_residual(part, pooled[index].astype(np.float32)))
        typical = residual.mean(axis=-1, keepdims=True) + np.float32(1e-6)
        grams[:, index] = _weighted_gram(part, 1 / np.maximum(1, residual / (HUBER_LIMIT * typical)))
        begin = end
    square, cross = grams[:, :, :-1, :-1], grams[:, :, :-1, -1]
    ridge = shrinkage * np.einsum("nbpp->nbp", square) + 1e-3 * observations[:, None]
    left = square + ridge[..., None] * np.eye(width)
    return np.asarray(np.linalg.solve(left, (cross + ridge * pooled)[..., None])[..., 0])


def by_step(coefficients: Floats, horizon: int) -> Float32s:
    """Coefficients (n, h, features) for each step, from (n, buckets, features) linearly in log(step)."""
    return np.asarray(_hats(horizon) @ coefficients.astype(np.float32))


@lru_cache(maxsize=64)
def _hats(horizon: int) -> Float32s:
    """How much each bucket counts at each step, (h, buckets): linearly in log(step) between their middles."""
    centres = np.log([(first + end - 1) / 2 for first, end in buckets(horizon)])
    steps = np.log(np.arange(1, horizon + 1))
    return np.stack([np.interp(steps, centres, row) for row in np.eye(len(centres))], axis=1).astype(np.float32)


@lru_cache(maxsize=64)
def _bucket_steps(horizon: int) -> tuple[Ints, ...]:
    """Up to four horizon steps that stand for each bucket."""
    spans = [np.linspace(first, end - 1, STEPS_PER_BUCKET) for first, end in buckets(horizon)]
    return tuple(np.unique(span.astype(np.intp)) for span in spans)


def _design(arrays: Seasonal, origins: Ints, steps: Ints) -> Float32s:
    """Features and, last, the target relative to the base: (n, features + 1, steps × origins)."""
    base, features = features_at(arrays, origins, steps)
    n, k, o = base.shape
    rows = np.empty((n, len(features) + 1, k, o), dtype=np.float32)
    for i, feature in enumerate(features):
        rows[:, i] = feature
    rows[:, -1] = np.take(arrays.values, origins + steps[:, None], axis=1) - base
    return rows.reshape(n, len(features) + 1, k * o)


def _residual(rows: Float32s, coefficients: Float32s) -> Float32s:
    """Target minus prediction (…, m) of rows (…, p + 1, m), with coefficients that broadcast to (…, p)."""
    return np.asarray(rows[..., -1, :] - (coefficients[..., None, :] @ rows[..., :-1, :])[..., 0, :])


def _weighted_gram(rows: Float32s, weight: Float32s) -> Floats:
    """Sum of weighted outer products, (…, p, p): one small matrix product a series, whatever the chunk."""
    return np.asarray(((rows * weight[..., None, :]) @ rows.swapaxes(-1, -2)).astype(float))


def _solve_pooled(gram: Floats, prior: Floats, ridge: float) -> Floats:
    square, cross = gram[:-1, :-1], gram[:-1, -1]
    penalty = ridge * np.diag(np.diag(square)) + 1e-6 * np.eye(len(square))
    return np.asarray(np.linalg.solve(square + penalty, cross + penalty @ prior))
