"""Where joint paths first cross an objective's bound: what breaches, lead times and the overall state are read off."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from storage.records import Frame, Objective
from tasks.forecast.batch import Floats, ForecastBatch, Ints, crossing_quantiles, first_true

LEAD_LEVELS = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Crossing:
    """One objective on the series of a frame that it means.

    `first` (rows, paths) is the step, from 1, at which a path first crosses the bound within the objective's horizon;
    inf where it never does, NaN for a series without a forecast. `probability` (rows,) is that it is crossed at all.
    """

    objective: Objective
    rows: Ints
    within: int
    first: Floats
    probability: Floats


def lead_steps(first: Floats) -> Floats:
    """Steps (rows, 3) until the bound is crossed where it is: the 10 %, 50 % and 90 % quantiles of the paths."""
    return crossing_quantiles(first, LEAD_LEVELS)


def crossings(frame: Frame, batch: ForecastBatch, objectives: Iterable[Objective]) -> list[Crossing]:
    """Return where the paths of a frame's forecast cross each objective that they can break and that means a series."""
    crossings_found = []
    for objective in objectives:
        named = frame.index.meant(objective.measured)
        if objective.kind.has_breach_forecast and named:
            rows = np.array(named, dtype=np.intp)
            within = steps_within(objective, frame.step_s, batch.horizon)
            crossings_found.append(Crossing(objective, rows, within, *_crossed(batch, rows, objective, within)))
    return crossings_found


def steps_within(objective: Objective, step_s: float, horizon: int) -> int:
    """Return how many steps of a forecast an objective looks ahead."""
    return max(1, min(horizon, round(objective.horizon_s / step_s)))


def first_beyond(paths: Floats, objective: Objective) -> Floats:
    """Return the first step, from 1, at which each of `paths` (…, steps) breaks an objective, inf where none does."""
    return first_true(objective.broken_by(paths))


def _crossed(batch: ForecastBatch, rows: Ints, objective: Objective, within: int) -> tuple[Floats, Floats]:
    bound, is_upper = np.full(len(rows), objective.bound), objective.side == "below"
    upper, lower = (bound, None) if is_upper else (None, bound)
    first = batch.first_crossing(upper, lower, within, rows)
    probability = batch.probability(first, upper, lower, within, rows)
    refused = [batch.refusals[row] is not None for row in rows.tolist()]
    first[refused], probability[refused] = np.nan, np.nan
    return first, probability
