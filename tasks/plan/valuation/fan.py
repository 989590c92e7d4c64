"""The fan of a metric with an act in it: what is foretold without it, moved and widened by what the act changes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storage.records import FloatArray
from tasks.plan.valuation.risk import ramps_of


def fan_with(
    quantiles: FloatArray,
    levels: Sequence[float],
    times_s: FloatArray,
    change: tuple[float, float],
    *,
    latency_s: float = 0.0,
    duration_s: float | None = None,
    widening: float = 1.0,
) -> FloatArray:
    """Return quantiles (n_steps, n_levels) of a metric with an act, from those without it.

    `times_s` (n_steps,) count from the act, `change` is mean and standard deviation of what it changes, in the metric's
    unit. The middle moves by the mean; how far each quantile lies from it and the doubt add up as independent errors
    do, times `widening` from the act on. Levels lie around .5, which is one of them.
    """
    # Imported late: the facade shares budgets, and plans nothing.
    from scipy.special import ndtri

    ramp = ramps_of(np.maximum(times_s, 0.0), np.zeros(1), latency_s, duration_s)[0] * (times_s > 0)
    places = np.asarray(levels, dtype=np.float64)
    middle = quantiles[:, [int(np.argmin(np.abs(places - 0.5)))]]
    doubt = np.outer(ramp, ndtri(places) * change[1])
    away = np.sign(places - 0.5) * np.hypot(quantiles - middle, doubt)
    away *= np.where(times_s > 0, widening, 1.0)[:, None]
    return np.asarray(middle + change[0] * ramp[:, None] + away)
