"""Seeded synthetic fleets for the forecast tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DAY, WEEK = 24, 168


def daily_fleet(n: int = 12, days: float = 14, seed: int = 0, season: int = DAY) -> NDArray[np.float64]:
    """Positive series (n, steps) with a daily shape, a wandering level and noise, each at its own scale."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(days * season))
    shape = np.sin(2 * np.pi * (t / season + rng.random((n, 1)))) * rng.uniform(0.5, 2, (n, 1))
    level = np.cumsum(rng.normal(0, 0.05, (n, len(t))), axis=1)
    noise = rng.normal(0, 0.3, (n, len(t)))
    scale = 10.0 ** rng.uniform(-2, 4, (n, 1))
    return np.asarray(scale * (12 + shape + level + noise))
