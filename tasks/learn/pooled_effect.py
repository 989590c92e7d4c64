"""What many measured effects say together."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from storage.records import FloatArray
from tasks.special import betaincinv, ndtri, stdtrit

MODEL_VARIANCE = 0.02
MIXTURE_PRECISION = 10.0
LEAST_ERROR_RATIO = 0.01
"""No outcome counts as more exact than that share of the least exact one: a metric that never moved has no error."""

SHARED_RATIO = 0.3
"""What outcomes on one metric are off by alike, over their standard error, on recorded series (`bench-impact`)."""


@dataclass(frozen=True)
class OwnError:
    """By how much the measurements of one installation are off: as its placebo check found, else as is usual.

    Every standard error counts `widening` times; `shared_ratio` of it is common to all outcomes and does not average
    out.
    """

    widening: float = 1.0
    shared_ratio: float = SHARED_RATIO


@dataclass(frozen=True)
class PooledEffect:
    """A mean effect over outcomes in sd of the metric, positive toward the goal, with its interval.

    `between_sd` is how much the effect differs from one occasion to the next beyond measurement error.
    """

    mean: float
    low: float
    high: float
    standard_error: float
    between_sd: float
    count: int


def pooled_effect(
    effects: FloatArray,
    errors: FloatArray,
    confidence: float = 0.90,
    past_windows: FloatArray | None = None,
    own: OwnError = OwnError(1.0, 0.0),
) -> PooledEffect:
    """Pool effects (n,) with standard errors (n,), n > 0, into their mean, with an interval.

    Random effects: DerSimonian and Laird (1986, doi:10.1016/0197-2456(86)90046-2), with the interval of
    Knapp and Hartung (2003, doi:10.1002/sim.1482), never narrower than the plain one. A single outcome
    keeps its own error. `past_windows` (n,), NaN where not known, are the windows that each effect was held
    against: what their centre is off by is off for all of them alike, and does not average out. `own` is what
    this installation's measurements are off by on top.
    """
    errors = own.widening * np.maximum(errors, LEAST_ERROR_RATIO * float(np.max(errors)))
    within = np.maximum(np.square(errors), 1e-12)
    fixed = 1 / within
    mean = float(fixed @ effects / fixed.sum())
    freedom = len(effects) - 1
    excess = float(fixed @ np.square(effects - mean)) - freedom
    spread = float(fixed.sum() - np.square(fixed).sum() / fixed.sum())
    between = max(0.0, excess / spread) if freedom and spread > 0 else 0.0
    weight = 1 / (within + between)
    mean = float(weight @ effects / weight.sum())
    misfit = float(weight @ np.square(effects - mean)) / freedom if freedom else 1.0
    shared = own.shared_ratio**2 * float(np.mean(np.square(errors)))
    alike = _common_variance(errors, past_windows) + shared if freedom else 0.0
    error = sqrt(max(1.0, misfit) / float(weight.sum()) + alike)
    half = stdtrit(max(freedom, 1) if freedom else 1_000, 0.5 + confidence / 2) * error
    return PooledEffect(mean, mean - half, mean + half, error, sqrt(between), len(effects))


def _common_variance(errors: FloatArray, past_windows: FloatArray | None) -> float:
    """Return the part of the variance that all effects share, since they were held against the same past."""
    if past_windows is None or not np.isfinite(past_windows).any():
        return 0.0
    return float(np.nanmean(np.square(errors) / (past_windows + 1)))


def always_valid_low(
    effects: FloatArray, errors: FloatArray, alpha: float = 0.01, past_windows: FloatArray | None = None
) -> float:
    """Return a lower bound of the mean effect that holds at every moment at once, with probability 1 -
    `alpha`.

    An interval looked at after each outcome until it pleases is wrong far more often than it says. This one
    may be looked at as often as wanted: the normal mixture bound of Robbins (1970,
    doi:10.1214/aoms/1177696786), widened where the effects scatter more than their errors say, and by what all
    share with their past (as in `pooled_effect`). Effects (n,) and errors (n,); -inf without any.
    """
    if not len(effects):
        return float("-inf")
    weight = 1 / (np.square(errors) + MODEL_VARIANCE)
    total = float(weight.sum())
    mean = float(weight @ effects) / total
    misfit = float(weight @ np.square(effects - mean)) / max(1, len(effects) - 1)
    # The scatter of few outcomes is itself uncertain: they are given the benefit of ten typical ones.
    scatter = max(1.0, (misfit * (len(effects) - 1) + 10) / (len(effects) + 9))
    information = total / scatter
    boundary = sqrt(
        (information + MIXTURE_PRECISION) * log((information + MIXTURE_PRECISION) / (MIXTURE_PRECISION * alpha**2))
    )
    common = ndtri(1 - alpha) * sqrt(_common_variance(errors, past_windows))
    return mean - boundary / information - common


def share_interval(successes: float, count: float, confidence: float = 0.90) -> tuple[float, float]:
    """Return the interval of a share, 0 to 1 where nothing was counted (Jeffreys; Brown, Cai, DasGupta
    2001)."""
    if not count:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = betaincinv(successes + 0.5, count - successes + 0.5, tail) if successes else 0.0
    high = betaincinv(successes + 0.5, count - successes + 0.5, 1 - tail) if successes < count else 1.0
    return low, high
