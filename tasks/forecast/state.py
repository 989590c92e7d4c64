"""The predicted overall state: severity per metric on joint paths, and a declared rule over the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.forecast.batch import Bools, Floats

STATES = ("healthy", "degraded", "critical")
JOINT_PATHS = 500
CRITICAL_SEVERITY = 0.7


@dataclass(frozen=True)
class Shares:
    """Probabilities of not being healthy, and of being critical, which is part of it."""

    unhealthy: float
    critical: float

    def by_name(self) -> dict[str, float]:
        """Return the probability of each state."""
        return {
            "healthy": 1 - self.unhealthy,
            "degraded": self.unhealthy - self.critical,
            "critical": self.critical,
        }


def overall(severities: Sequence[float], broken: Sequence[Bools]) -> Shares:
    """Shares of joint futures in which the worst broken objective is any at all, and one of severity 0.7 or more.

    `broken[i]` (paths,) tells which futures break an objective of `severities[i]`. Where objectives have different
    numbers of paths, the shorter ones are repeated.
    """
    count = max(len(each) for each in broken)
    unhealthy, critical = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    for severity, each in zip(severities, broken, strict=True):
        hit = np.resize(each, count)
        unhealthy |= hit
        critical |= hit & (severity >= CRITICAL_SEVERITY)
    return Shares(float(unhealthy.mean()), float(critical.mean()))


def state_of(severities: Sequence[float], broken: Sequence[bool]) -> str:
    """The overall state when these objectives are broken or not: as bad as the worst."""
    hit = [severity for severity, is_broken in zip(severities, broken, strict=True) if is_broken]
    return STATES[0] if not hit else STATES[2] if max(hit) >= CRITICAL_SEVERITY else STATES[1]


@dataclass(frozen=True)
class Limits:
    """Where each of n metrics is degraded and critical; a value beyond the bound on the named side counts.

    NaN means the metric never gets that severe. `above` says for each metric whether higher is worse.
    """

    degraded: Floats
    critical: Floats
    above: Bools


@dataclass(frozen=True)
class StateForecast:
    """Probability of each overall state at each step, shape (h, 3), in the order of STATES."""

    probability: Floats

    @property
    def unhealthy(self) -> Floats:
        """Probability (h,) of not being healthy."""
        return np.asarray(1 - self.probability[:, 0])

    def likeliest(self, step: int) -> str:
        """The most probable state `step` steps ahead (from 1)."""
        return STATES[int(np.argmax(self.probability[step - 1]))]


def predict_state(paths: Floats, limits: Limits, *, at_least: int = 1) -> StateForecast:
    """Overall state from joint paths (n, s, h), path s being one future of all metrics together.

    The system is as bad as `at_least` of its metrics are: 1 takes the worst, k asks for k of n. A metric
    with no forecast (NaN paths) counts as healthy: say so beside the result.
    """
    severity = severities(paths, limits)
    overall = np.sort(severity, axis=0)[len(severity) - min(at_least, len(severity))]
    share = [(overall == grade).mean(axis=0) for grade in range(len(STATES))]
    return StateForecast(np.stack(share, axis=1))


def severities(paths: Floats, limits: Limits) -> NDArray[np.int8]:
    """0 healthy, 1 degraded, 2 critical for each metric, path and step, shape (n, s, h)."""
    side = np.where(limits.above, 1.0, -1.0)[:, None, None]
    signed = paths * side
    grade = np.zeros(paths.shape, dtype=np.int8)
    for bound in (limits.degraded, limits.critical):
        with np.errstate(invalid="ignore"):
            grade += signed > bound[:, None, None] * side
    return grade


def joint_paths(point: Floats, blocks: Floats, *, seed: int, count: int = JOINT_PATHS) -> Floats:
    """Joint paths (n, count, h): the forecast (n, h) plus, in each, one past origin's errors across all metrics.

    `blocks` (o, n, h) come from `ledger.error_blocks`. Drawing whole blocks keeps metrics that fail
    together together (Clark et al. 2004, the Schaake shuffle); independent draws understate joint trouble
    several times.
    """
    if not len(blocks):
        raise ValueError("joint paths need at least one resolved origin in the ledger")
    drawn = np.random.default_rng(seed).integers(len(blocks), size=count)
    return np.asarray(point[:, None] + blocks[drawn].transpose(1, 0, 2))
