"""Breaches of driven objectives, read off the paths of what drives them at the capacity that is there now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from storage.records import Breach, FloatArray, Objective
from tasks.drivers.fitting import DrivenMetrics
from tasks.drivers.responses import on_grid

_SURELY_KEPT = 0.05


@dataclass(frozen=True)
class SpareAmount:
    """A capacity of which the next lesser amount would do: `probability` is that of a breach with it."""

    objective: str
    series: str
    capacity: str
    now: float
    lesser: float
    probability: float


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


def spare_amounts(
    objectives: Iterable[Objective],
    driven: DrivenMetrics,
    paths: Mapping[str, FloatArray],
    step_s: Mapping[str, float],
    offered: Mapping[str, Sequence[float]],
) -> tuple[SpareAmount, ...]:
    """Return the capacities of which the next lesser amount `offered` keeps all objectives on them, by their drivers.

    Named by the objective that is likeliest to break. A capacity that an objective keeps from idling by itself is left
    to that one, and one with an objective of which nothing can be foretold is not touched.
    """
    spare = []
    for capacity, amounts in offered.items():
        now = driven.capacities.get(capacity)
        sharing = [each for each in objectives if each.capacity == capacity]
        lesser = max((amount for amount in amounts if now is not None and amount < now - 1e-9), default=None)
        if now is None or lesser is None or not sharing or any(each.side == "above" for each in sharing):
            continue
        chances = [
            (_share_beyond(each, metric), each)
            for each in sharing
            if (metric := _metric(each, driven, paths, step_s, lesser)) is not None
        ]
        chance, weakest = max(chances, key=lambda pair: pair[0], default=(1.0, sharing[0]))
        if len(chances) == len(sharing) and chance <= _SURELY_KEPT:
            spare.append(SpareAmount(weakest.name, weakest.measured, capacity, now, lesser, chance))
    return tuple(spare)


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


def _share_beyond(objective: Objective, metric: FloatArray) -> float:
    beyond = metric > objective.bound if objective.side == "below" else metric < objective.bound
    return float(beyond.any(axis=1).mean())


def _breach(objective: Objective, metric: FloatArray, step_s: float, tick: datetime, value: float | None) -> Breach:
    beyond = metric > objective.bound if objective.side == "below" else metric < objective.bound
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
