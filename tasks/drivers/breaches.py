"""Breaches of driven objectives, read off the paths of what drives them at the capacity that is there now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import numpy as np

from storage.records import Breach, FloatArray, Objective
from tasks.drivers.fitting import DrivenMetrics
from tasks.drivers.responses import on_grid


def driven_breaches(
    objectives: Iterable[Objective],
    driven: DrivenMetrics,
    paths: Mapping[str, FloatArray],
    step_s: Mapping[str, float],
    tick: datetime,
    last: Mapping[str, float] | None = None,
) -> tuple[Breach, ...]:
    """Return a breach for every driven objective whose driver has paths (n_paths, n_steps).

    They take the place of breaches read off the metric's own forecast, which has our own actions in it. `last` holds
    the present values by series.
    """
    breaches = []
    for objective in objectives:
        now = driven.capacities.get(str(objective.capacity))
        metric = _metric(objective, driven, paths, step_s, now) if now is not None else None
        if metric is not None:
            step = step_s[str(objective.driver)]
            breaches.append(_breach(objective, metric, step, tick, (last or {}).get(objective.measured)))
    return tuple(breaches)


def breach_probability(
    objective: Objective,
    driven: DrivenMetrics,
    paths: Mapping[str, FloatArray],
    step_s: Mapping[str, float],
    amount: float,
) -> float | None:
    """Return how likely a driven objective is broken within its horizon at an amount; None where nothing foretells."""
    metric = _metric(objective, driven, paths, step_s, amount)
    return None if metric is None else float(objective.broken_by(metric).any(axis=1).mean())


def _metric(
    objective: Objective,
    driven: DrivenMetrics,
    paths: Mapping[str, FloatArray],
    step_s: Mapping[str, float],
    amount: float,
) -> FloatArray | None:
    """Return the paths (n_paths, n_steps) of a metric at an amount within its horizon; None where nothing foretells."""
    response = driven.responses.get(objective.name)
    driver = paths.get(objective.driver or "")
    if response is None or driver is None or driver.size == 0:
        return None
    step = step_s[str(objective.driver)]
    steps = max(1, min(driver.shape[1], round(objective.horizon_s / step)))
    return on_grid(response, step).metric(driver[:, :steps], np.array(amount))


def _breach(objective: Objective, metric: FloatArray, step_s: float, tick: datetime, value: float | None) -> Breach:
    beyond = objective.broken_by(metric)
    crosses = beyond.any(axis=1)
    first = np.sort(beyond.argmax(axis=1)[crosses])
    at = [tick + timedelta(seconds=step_s * (float(np.quantile(first, q)) + 1)) for q in (0.1, 0.5, 0.9) if len(first)]
    return Breach(
        objective=objective.name,
        series=objective.measured,
        probability=float(crosses.mean()),
        earliest_at=at[0] if at else None,
        expected_at=at[1] if at else None,
        latest_at=at[2] if at else None,
        is_breached_now=value is not None and not objective.is_met(value),
        last_value=value,
    )
