"""A metric with a day's rhythm, forecast by its profile: what the tests of measuring stand on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.measure import ErrorLedger, build_ledger

FloatArray = NDArray[np.float64]

DAY_STEPS = 96
DAYS = 14
HORIZON = 24


@dataclass(frozen=True)
class Rhythm:
    """A metric, what a perfect forecaster of its rhythm says after the last step, and its ledger."""

    history: FloatArray
    after: FloatArray
    forecast: FloatArray
    ledger: ErrorLedger
    sd: float


def rhythm(seed: int, noise: float = 1.0, persistence: float = 0.5, level: float = 50.0) -> Rhythm:
    """Make a metric around a sine with autocorrelated noise; the forecast knows the sine alone."""
    rng = np.random.default_rng(seed)
    steps = np.arange(DAYS * DAY_STEPS + HORIZON)
    sine = level + 5 * np.sin(2 * np.pi * steps / DAY_STEPS)
    shocks, error = rng.normal(0, noise, len(steps)), np.zeros(len(steps))
    for step in range(1, len(steps)):
        error[step] = persistence * error[step - 1] + shocks[step]
    values, now = sine + error, DAYS * DAY_STEPS - 1
    origins = np.arange(DAY_STEPS, now)
    padded = np.concatenate([sine, np.full(HORIZON, np.nan)])
    forecasts = padded[origins[:, None] + 1 + np.arange(HORIZON)]
    ledger = build_ledger(values, forecasts, origins, steps_per_day=DAY_STEPS, now=now)
    return Rhythm(values[: now + 1], values[now + 1 :], sine[now + 1 :], ledger, float(values[: now + 1].std()))
