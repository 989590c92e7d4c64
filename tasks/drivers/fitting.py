"""Learn from what was recorded how metrics follow from their drivers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from storage.records import FloatArray, Frame, Objective, ResponseSpec, metric_of
from tasks.drivers.responses import (
    CapacityResponse,
    RatioResponse,
    Response,
    ScaledResponse,
    fit_response,
    present_factor,
    response_of,
)
from tasks.objectives.ratios import with_ratios


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

    Each is fitted on the longest frame that holds metric, driver and capacity; `declared` ones (by objective) and those
    that the objective states are taken as they are, and so is what follows by definition: driver per capacity, and the
    capacity itself. Where nothing can be fitted the objective is left out, and is planned for like any other.
    """
    driven = [objective for objective in objectives if objective.driver is not None]
    longest_first = sorted(frames, key=lambda frame: -frame.values.shape[1]) if driven else []
    responses: dict[str, Response] = {}
    capacities: dict[str, float] = {}
    for objective in driven:
        capacity = str(objective.capacity)
        now = next((value for frame in longest_first if (value := _last(frame, capacity)) is not None), None)
        response = (declared or {}).get(objective.name) or _response(objective, longest_first)
        if now is not None and response is not None:
            responses[objective.name] = response
            capacities[capacity] = now
    return DrivenMetrics(responses, capacities)


def _response(objective: Objective, frames: Sequence[Frame]) -> Response | None:
    if objective.response is not None:
        return _stated(objective.response, frames)
    return by_definition(objective) or _fitted(objective, frames)


def by_definition(objective: Objective) -> Response | None:
    """Return the response of a metric that is the capacity itself, or the driver per capacity; None for others."""
    if objective.metric == objective.capacity:
        return CapacityResponse()
    if (objective.metric, objective.denominator) == (objective.driver, objective.capacity):
        return RatioResponse(1.0)
    return None


def _stated(spec: ResponseSpec, frames: Sequence[Frame]) -> Response | None:
    """Return a stated response as it is at present; None where the series that shares the driver out is unknown."""
    response = response_of(spec)
    if spec.per is None:
        return response
    rows = ((row, frame.step_s) for frame in frames if (row := _row(frame, spec.per)) is not None)
    first_row = next(rows, None)
    factor = present_factor(spec, *first_row) if first_row is not None else None
    return None if factor is None else ScaledResponse(response, factor)


def _fitted(objective: Objective, frames: Sequence[Frame]) -> Response | None:
    for frame in frames:
        full = with_ratios(frame, [objective])
        names = (objective.measured, str(objective.driver), str(objective.capacity))
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
