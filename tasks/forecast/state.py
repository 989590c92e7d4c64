"""The predicted overall state: severity per metric on joint paths, and a declared rule over the metrics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.forecast.batch import Floats

STATES = ("healthy", "degraded", "critical")
JOINT_PATHS = 500


@dataclass(frozen=True)
class Limits:
    """Where each of n metrics is degraded and critical; a value beyond the bound on the named side counts.

    NaN means the metric never gets that severe. `above` says for each metric whether higher is worse.
    """

    degraded: Floats
    critical: Floats
    above: NDArray[np.bool_]


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
