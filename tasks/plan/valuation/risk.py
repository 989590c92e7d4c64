"""Losses on sample paths, their risk, and how an effect unfolds over time."""

from __future__ import annotations

import numpy as np

from storage.records import FloatArray
from tasks.excess import AT_BOUND, FAR_SD, SLOPE

MAX_STEPS = 48
_TAIL = 0.1
_MEAN_SHARE = 0.8


def slope_of(excess: FloatArray) -> float:
    """Return what weight an sd beyond the bound adds: as far as it goes if nothing is done weighs one, at least 2 sd.

    So it counts how far something that is broken beyond all measure is brought back.
    """
    beyond = excess[excess > 0]
    return AT_BOUND / max(FAR_SD, float(beyond.mean())) if beyond.size else SLOPE


def losses_of(excess: FloatArray, slope: float = SLOPE) -> FloatArray:
    """Return each path's loss (..., n_paths) in [0, 1]: the share of time beyond the bound, weighted by how far.

    `excess` is (..., n_paths, n_steps). Just beyond weighs a half, and each sd more adds `slope`, up to one.
    """
    return np.asarray(_summed(AT_BOUND + slope * excess) / excess.shape[-1])


def risk_of(excess: FloatArray, slope: float = SLOPE) -> FloatArray:
    """Return .8 mean + .2 CVaR₉₀ of the losses over paths: the tail counts extra.

    CVaR: Rockafellar and Uryasev (2000), "Optimization of conditional value-at-risk".
    """
    return _risk_of_losses(losses_of(excess, slope))


def risk_after(
    excess: FloatArray, effects: FloatArray, ramps: FloatArray, slope: float = SLOPE, beside: FloatArray | None = None
) -> FloatArray:
    """Return the risk (n_starts,) of (n_paths, n_steps) when each path's effect lowers its excess along a ramp.

    `effects` (n_paths,) are in standard deviations, `ramps` (n_starts, n_steps) say how much of them is there. What
    lowers every path alike comes `beside` (n_starts, n_steps).
    """
    # Most of the time of planning goes here: in place, and without the steps that no path breaks whatever the effect.
    least = min(0.0, float(effects.min())) + (0.0 if beside is None else min(0.0, float(beside.min())))
    could_break = excess.max(axis=0) > least
    weights = (-slope * effects)[None, :, None] * ramps[:, None, could_break]
    if beside is not None:
        weights -= slope * beside[:, None, could_break]
    weights += AT_BOUND + slope * excess[:, could_break]
    return _risk_of_losses(_summed(weights) / excess.shape[1])


def _summed(weights: FloatArray) -> FloatArray:
    np.minimum(weights, 1.0, out=weights)
    np.copyto(weights, 0.0, where=~(weights > AT_BOUND))
    return np.asarray(weights.sum(axis=-1), dtype=float)


def _risk_of_losses(losses: FloatArray) -> FloatArray:
    count = max(1, round(_TAIL * losses.shape[-1]))
    worst = np.partition(losses, losses.shape[-1] - count, axis=-1)[..., -count:]
    return np.asarray(_MEAN_SHARE * losses.mean(axis=-1) + (1 - _MEAN_SHARE) * worst.mean(axis=-1))


def thin(excess: FloatArray, times_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return at most 48 steps of (n_paths, n_steps) and their times: the worst of each block, timed at its start.

    So an effect counts in a block only if it is there from the beginning, and waiting is never free by rounding.
    """
    size = -(-excess.shape[1] // MAX_STEPS)
    count = excess.shape[1] // size
    worst = excess[:, : count * size].reshape(len(excess), count, size).max(axis=2)
    return worst, times_s[: count * size : size]


def deviates_of(seed: int, n_paths: int) -> FloatArray:
    """Return stratified standard normal draws, one a path and the same for every action: common random numbers."""
    # Imported late: the facade shares budgets, and plans nothing.
    from scipy.special import ndtri

    order = np.random.default_rng([seed, n_paths]).permutation(n_paths)
    return np.asarray(ndtri((order + 0.5) / n_paths), dtype=float)


def ramps_of(
    times_s: FloatArray, starts_s: FloatArray, latency_s: float, duration_s: float | None = None
) -> FloatArray:
    """Return how much of an effect is there (n_starts, n_steps): none before the latency, then rising, then lasting.

    It rises over half the latency, and fades the same way after its duration where it has one.
    """
    rise_s = max(0.5 * latency_s, float(times_s[0]) * 0.5, 1e-9)
    since_s = times_s[None, :] - starts_s[:, None] - latency_s
    ramp = np.clip(since_s / rise_s, 0.0, 1.0)
    if duration_s is not None:
        ramp = ramp * (1.0 - np.clip((since_s - duration_s) / rise_s, 0.0, 1.0))
    return np.asarray(ramp, dtype=float)
