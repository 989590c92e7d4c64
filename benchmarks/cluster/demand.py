"""Demand for the reference cluster: request rates on a regular grid, and arrivals drawn from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from storage.records import FloatArray


@dataclass(frozen=True)
class Demand:
    """A request rate over time: `rates` (steps,) in requests a second, each held for `step_s` seconds."""

    rates: FloatArray
    step_s: float

    @property
    def duration_s(self) -> float:
        """Return how long the demand lasts."""
        return len(self.rates) * self.step_s

    def mean_rates(self, bucket_s: float) -> FloatArray:
        """Return the mean rate of each whole bucket of `bucket_s` seconds, oldest first."""
        requests = np.concatenate(([0.0], np.cumsum(self.rates) * self.step_s))
        bucket_count = int(self.duration_s / bucket_s + 1e-9)
        edges = np.arange(bucket_count + 1) * bucket_s
        at_edges = np.interp(edges, np.arange(len(requests)) * self.step_s, requests)
        rates: FloatArray = np.diff(at_edges) / bucket_s
        return rates

    def scaled(self, factor: float) -> Demand:
        """Return the same course at another level."""
        return Demand(self.rates * factor, self.step_s)


def poisson_arrivals(demand: Demand, seed: int) -> FloatArray:
    """Draw arrival times in seconds, in order: a Poisson process whose rate is constant within each step."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(demand.rates * demand.step_s)
    starts = np.repeat(np.arange(len(counts)) * demand.step_s, counts)
    return np.sort(starts + rng.uniform(0.0, demand.step_s, size=len(starts)))


def synthetic_days(
    day_count: int, *, steps: int = 1440, day_s: float = 6300.0, peak_rate: float = 240.0, seed: int = 0
) -> list[Demand]:
    """Make up days of web traffic for want of a recording, so that the last one peaks at `peak_rate`.

    Each has a night and a day, on some days an event that draws a crowd, a level of its own, and noise with
    memory.
    """
    rng = np.random.default_rng(seed)
    hour = np.arange(day_count * steps) / steps * 24.0
    of_day = hour % 24.0
    daily = 0.62 - 0.25 * np.cos((of_day - 4.0) / 24.0 * 2 * np.pi) + 0.13 * np.exp(-(((of_day - 19.0) / 2.5) ** 2))
    drift = np.repeat(np.exp(rng.normal(0.0, 0.08, day_count)), steps)
    crowd = np.zeros_like(hour)
    for day in np.flatnonzero(rng.uniform(size=day_count) < 0.6):
        start = rng.choice([14.5, 17.5, 21.0]) + rng.normal(0.0, 0.1)
        since = hour - (24.0 * day + start)
        crowd += rng.uniform(0.15, 0.35) * np.exp(-(np.abs(since - 1.0) ** 3) / 1.2)
    shocks = rng.normal(0.0, 0.012, len(hour))
    noise = np.empty_like(shocks)
    level = 0.0
    for step, shock in enumerate(shocks):
        level = 0.97 * level + shock
        noise[step] = level
    course = np.maximum((daily + crowd) * drift * np.exp(noise), 0.01)
    days = [Demand(day, day_s / steps) for day in course.reshape(day_count, steps)]
    factor = peak_rate / float(days[-1].mean_rates(60.0).max())
    return [day.scaled(factor) for day in days]
