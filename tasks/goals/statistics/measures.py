"""Statistics that several rules share: shares beyond a bound, time held, progress, urgency."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Literal

import numpy as np

from storage.records import FloatArray, Forecast
from tasks.goals.evidence import Evidence, ObservedWindow
from tasks.special import betainc

Side = Literal["below", "above"]


def priority_of(probability: float, severity: float, urgency: float) -> float:
    """Return probability × severity × urgency, all in [0, 1]."""
    return float(np.clip(probability * severity * urgency, 0.0, 1.0))


def urgency_of(tick: datetime, deadline: datetime) -> float:
    """Return 1 for what breaks within five minutes, and 0.2 less for every tenfold of that: 0.4 in 3.5 days."""
    lead_s = max((deadline - tick).total_seconds(), 300.0)
    return float(np.clip(1.0 - 0.2 * math.log10(lead_s / 300.0), 0.1, 1.0))


def toward(value: float | FloatArray, bound: float, side: Side) -> FloatArray:
    """Return how far values lie beyond a bound, negative where they keep it."""
    return np.asarray((value - bound) if side == "below" else (bound - value), dtype=float)


def effective_size(values: FloatArray) -> float:
    """Return how many independent values a correlated series is worth: n(1 − r₁)/(1 + r₁), at least 1."""
    n = len(values)
    if n < 3 or np.ptp(values) == 0:
        return float(max(n, 1))
    centred = values - values.mean()
    r1 = float(np.clip((centred[1:] @ centred[:-1]) / (centred @ centred), 0.0, 0.99))
    return max(1.0, n * (1 - r1) / (1 + r1))


def share_probability(beyond_ratio: float, effective_n: float, allowed_ratio: float) -> float:
    """Return the chance that the true share beyond a bound exceeds what is allowed.

    Beta posterior of a share under Jeffreys' prior (Brown, Cai, DasGupta 2001, "Interval estimation for a binomial
    proportion"), on the effective number of observations.
    """
    beyond = beyond_ratio * effective_n
    return 1.0 - betainc(beyond + 0.5, effective_n - beyond + 0.5, allowed_ratio)


def held_for_s(window: ObservedWindow, bound: float, side: Side, margin: float = 0.0) -> float:
    """Return how long a series has kept its bound by `margin` up to its end; 0 where it does not, or is unknown.

    Time before the first recorded value does not count: what was not measured was not kept.
    """
    recorded = np.flatnonzero(np.isfinite(window.values))
    if len(recorded) == 0:
        return 0.0
    broken = np.flatnonzero(toward(window.values, bound, side) > -margin)
    start = recorded[recorded > broken[-1]] if len(broken) else recorded
    return float(len(window.values) - start[0]) * window.step_s if len(start) else 0.0


def longest_clear_s(window: ObservedWindow, bound: float, side: Side, margin: float) -> float:
    """Return the longest time for which every recorded value kept the bound by `margin`."""
    recorded = np.flatnonzero(np.isfinite(window.values))
    is_clear = toward(window.values[recorded], bound, side) <= -margin
    edges = np.flatnonzero(np.diff(np.concatenate(([0], is_clear.astype(int), [0]))))
    starts, ends = edges[::2], edges[1::2]
    lengths = recorded[ends - 1] - recorded[starts] + 1 if len(starts) else np.zeros(1)
    return float(lengths.max()) * window.step_s


def margin_of(window: ObservedWindow, bound: float) -> float:
    """Return the width of the hysteresis band: 2 % of the bound, or a quarter of the usual spread if that is more."""
    values = window.finite
    spread = 1.4826 * float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0
    return max(0.02 * abs(bound), 0.25 * spread)


def closed_ratio(baseline: float | None, value: float, bound: float, side: Side) -> float:
    """Return how much of the way from baseline to bound is done, 1 once the bound is kept."""
    beyond = float(toward(value, bound, side))
    if beyond <= 0:
        return 1.0
    start = float(toward(baseline, bound, side)) if baseline is not None else 0.0
    return float(np.clip(1.0 - beyond / start, 0.0, 1.0)) if start > 0 else 0.0


def expected_peak(forecast: Forecast, side: Side, horizon_s: float) -> float | None:
    """Return the worst value of the point forecast within a horizon, None where the forecast was refused."""
    steps = max(1, min(len(forecast.point), round(horizon_s / forecast.step_s)))
    ahead = forecast.point[:steps]
    if forecast.refusal is not None or not np.isfinite(ahead).any():
        return None
    return float(np.nanmax(ahead) if side == "below" else np.nanmin(ahead))


def worst_of(evidence: Evidence, series: str, side: Side, horizon_s: float) -> float | None:
    """Return the worse of a series' last value and its forecast's worst within the horizon."""
    reading = evidence.latest(series)
    forecast = evidence.forecasts.get(series)
    peak = expected_peak(forecast, side, horizon_s) if forecast else None
    values = [value for value in (reading.value if reading else None, peak) if value is not None]
    if not values:
        return None
    return max(values) if side == "below" else min(values)
