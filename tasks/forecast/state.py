"""The overall state: as bad as the worst objective broken, now or on joint paths of what is to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
