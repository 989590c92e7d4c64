"""The overall state, by a declared rule: as bad as the worst objective broken, or only where k of n are."""

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


@dataclass(frozen=True)
class Hit:
    """In which futures (paths,) an objective of some severity is broken on one of its series."""

    objective: str
    severity: float
    broken: Bools


def overall(hits: Sequence[Hit], needed: int = 1) -> Shares:
    """Shares of joint futures in which the overall state is not healthy, and in which it is critical.

    It is as bad as the `needed`-th worst objective that is broken: the worst for 1, else "k of n". Where objectives
    have different numbers of paths, the shorter ones are repeated.
    """
    count = max(len(hit.broken) for hit in hits)
    by_objective: dict[str, tuple[float, Bools]] = {}
    for hit in hits:
        _, before = by_objective.get(hit.objective, (0.0, np.zeros(count, dtype=bool)))
        by_objective[hit.objective] = (hit.severity, before | np.resize(hit.broken, count))
    least = min(needed, len(by_objective))
    unhealthy = np.sum([broken for _, broken in by_objective.values()], axis=0) >= least
    severe = [broken for severity, broken in by_objective.values() if severity >= CRITICAL_SEVERITY]
    critical = np.sum(severe, axis=0) >= least if severe else np.zeros(count, dtype=bool)
    return Shares(float(unhealthy.mean()), float(critical.mean()))


def state_of(hits: Sequence[Hit], needed: int = 1) -> str:
    """The overall state when these objectives are broken or not, each told of in a single future."""
    shares = overall(hits, needed)
    return STATES[2] if shares.critical else STATES[1] if shares.unhealthy else STATES[0]


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
