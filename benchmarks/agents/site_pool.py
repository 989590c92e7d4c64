"""Sites whose load follows the workers that serve it, all drawn from one pool that watches how many are out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from storage.records import Action, Event, Receipt, ReceiptStatus, Sample

START = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BOUND, SPREAD = 0.8, 0.15


@dataclass
class WorkerPool:
    """How many workers there are, who holds how many, and the most that were ever out together.

    Where it `refuses`, whoever comes first is served, and nobody gets what is not there.
    """

    total: int
    refuses: bool = False
    held: dict[str, int] = field(default_factory=dict)
    most: int = 0
    refused: int = 0

    def set(self, site: str, count: int) -> bool:
        """Let a site hold so many; False where there are not enough."""
        out = sum(self.held.values()) - self.held.get(site, 0) + count
        if self.refuses and out > self.total:
            self.refused += 1
            return False
        self.held[site] = count
        self.most = max(self.most, out)
        return True


@dataclass
class Site:
    """One system: jobs arrive by its own day, and each worker does one a minute; `load` is jobs per worker."""

    name: str
    severity: float
    pool: WorkerPool
    demand: np.ndarray
    minute: int = 0

    @property
    def workers(self) -> int:
        return self.pool.held[self.name]

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        """Give a sample a minute of what arrives, of the workers and of the load."""
        while START + (self.minute + 1) * MINUTE <= tick:
            self.minute += 1
            at, jobs = START + self.minute * MINUTE, float(self.demand[self.minute])
            seen = {"jobs": jobs, "workers": float(self.workers), "load": jobs / max(self.workers, 1e-9)}
            for metric, value in seen.items():
                yield Sample(metric=metric, value=value, ts=at)

    def act(self, action: Action, tick: datetime) -> Receipt:
        """Set the workers, where the pool has so many."""
        is_given = self.pool.set(self.name, int(action.params["amount"]))
        status = ReceiptStatus.SUCCEEDED if is_given else ReceiptStatus.FAILED
        detail = "" if is_given else "the pool has not so many left"
        return Receipt(action_id=action.action_id, status=status, started_at=tick, finished_at=tick, detail=detail)


def demand_of(number: int, count: int, minutes: int, rng: np.random.Generator) -> np.ndarray:
    """Return the jobs a minute of one of several sites: a day of its own hours, and a bell at its own time."""
    at = np.arange(minutes + 1) / 60.0
    phase = 24.0 * number / count
    wave = 2.4 + 1.6 * np.sin(2 * np.pi * (at - phase) / 24.0)
    noise = rng.normal(0, 0.06, minutes + 1).cumsum()
    noise -= np.linspace(0, noise[-1], minutes + 1)
    return np.maximum(0.2, wave + 0.15 * np.tanh(noise))


def loss_of(jobs: np.ndarray, workers: np.ndarray) -> np.ndarray:
    """Return the loss of each minute: 0 within the bound, a half just beyond it, 1 from two spreads on."""
    excess = (jobs / np.maximum(workers, 1e-9) - BOUND) / SPREAD
    return np.where(excess > 0, np.minimum(1.0, 0.5 + 0.25 * excess), 0.0)
