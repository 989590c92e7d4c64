"""Learn from what was recorded how metrics follow from their drivers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from storage.records import FloatArray, Frame, Objective, metric_of
from tasks.goals.ratios import measured_series, with_ratios
from tasks.plan.driver import CapacityResponse, RatioResponse, fit_response
from tasks.plan.problem import Response


@dataclass(frozen=True)
class DrivenMetrics:
    """What the planner needs of driven objectives: `responses` by objective, `capacities` by capacity series."""

    responses: Mapping[str, Response] = field(default_factory=dict)
    capacities: Mapping[str, float] = field(default_factory=dict)


def fit_driven(
    objectives: Iterable[Objective],
    frames: Iterable[Frame],
    declared: Mapping[str, Response] | None = None,
) -> DrivenMetrics:
    """Return the responses of all objectives that name a driver, and the capacities now.

    Each is fitted on the longest frame that holds metric, driver and capacity; `declared` ones (by objective) are taken
    as they are, and so is what follows by definition: driver per capacity, and the capacity itself. Where nothing can
    be fitted the objective is left out, and is planned for like any other.
    """
    known = sorted(frames, key=lambda frame: -frame.values.shape[1])
    responses: dict[str, Response] = {}
    capacities: dict[str, float] = {}
    for objective in objectives:
        if objective.driver is None or objective.capacity is None:
            continue
        now = next((value for frame in known if (value := _last(frame, objective.capacity)) is not None), None)
        response = (declared or {}).get(objective.name) or _fitted(objective, known)
        if now is not None and response is not None:
            responses[objective.name] = response
            capacities[objective.capacity] = now
    return DrivenMetrics(responses, capacities)


def _fitted(objective: Objective, frames: Iterable[Frame]) -> Response | None:
    if objective.metric == objective.capacity:
        return CapacityResponse()
    if (objective.metric, objective.denominator) == (objective.driver, objective.capacity):
        return RatioResponse(1.0)
    for frame in frames:
        full = with_ratios(frame, [objective])
        names = (measured_series(objective), str(objective.driver), str(objective.capacity))
        rows = [row for name in names if (row := _row(full, name)) is not None]
        if len(rows) == len(names) and (response := fit_response(*rows)) is not None:
            return response
    return None


def _row(frame: Frame, name: str) -> FloatArray | None:
    """Return the series of that name, or the only one of that metric."""
    if name in frame.series:
        return frame.row(name)
    same = [series for series in frame.series if metric_of(series) == name]
    return frame.row(same[0]) if len(same) == 1 else None


def _last(frame: Frame, name: str) -> float | None:
    row = _row(frame, name)
    recorded = row[np.isfinite(row)] if row is not None else np.empty(0)
    return float(recorded[-1]) if len(recorded) else None
