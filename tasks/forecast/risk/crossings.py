"""Where joint paths first cross an objective's bound: what breaches, lead times and the overall state are read off."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from storage.records import Frame, Objective, metric_of
from tasks.forecast.batch import Floats, ForecastBatch, crossing_quantiles, first_true
from tasks.forecast.fleet.prepare import Ints

ROWS_AT_A_TIME = 64
LEAD_LEVELS = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class Crossing:
    """One objective on the series of a frame that it means.

    `first` (rows, paths) is the step, from 1, at which a path first crosses the bound within the objective's horizon;
    inf where it never does, NaN for a series without a forecast.
    """

    objective: Objective
    rows: Ints
    within: int
    first: Floats


def crossing_share(first: Floats) -> Floats:
    """Share of paths (rows,) that cross, from first crossings (rows, paths); NaN without a forecast."""
    return np.where(np.isnan(first[:, 0]), np.nan, (first < np.inf).mean(axis=1))


def lead_steps(first: Floats) -> Floats:
    """Steps (rows, 3) until the bound is crossed where it is: the 10 %, 50 % and 90 % quantiles of the paths."""
    return crossing_quantiles(first, LEAD_LEVELS)


def crossings(frame: Frame, batch: ForecastBatch, objectives: Iterable[Objective]) -> list[Crossing]:
    """Return where the paths of a frame's forecast cross each objective that they can break and that means a series."""
    meant = defaultdict(list)
    for row, series in enumerate(frame.series):
        for name in {series, metric_of(series)}:
            meant[name].append(row)
    crossings_found = []
    for objective in objectives:
        if objective.kind.has_breach_forecast and objective.measured in meant:
            rows = np.array(meant[objective.measured], dtype=np.intp)
            within = steps_within(objective, frame.step_s, batch.horizon)
            crossings_found.append(Crossing(objective, rows, within, _first(batch, rows, objective, within)))
    return crossings_found


def steps_within(objective: Objective, step_s: float, horizon: int) -> int:
    """Return how many steps of a forecast an objective looks ahead."""
    return max(1, min(horizon, round(objective.horizon_s / step_s)))


def first_beyond(paths: Floats, objective: Objective) -> Floats:
    """Return the first step, from 1, at which each of `paths` (…, steps) breaks an objective, inf where none does."""
    return first_true(objective.broken_by(paths))


def _first(batch: ForecastBatch, rows: Ints, objective: Objective, within: int) -> Floats:
    refused = np.array([batch.refusals[row] is not None for row in rows.tolist()], dtype=bool)
    bound = np.clip((objective.bound - batch.centre[rows]) / batch.scale[rows], -1e30, 1e30).astype(np.float32)
    first = np.empty((len(rows), batch.scaled_paths.shape[1]))
    # A few rows at a time: the comparison of ten thousand series at once would leave the processor's cache.
    for start in range(0, len(rows), ROWS_AT_A_TIME):
        some = slice(start, start + ROWS_AT_A_TIME)
        ahead, limit = batch.scaled_paths[rows[some], :, :within], bound[some, None, None]
        beyond = ahead > limit if objective.side == "below" else ahead < limit
        first[some] = first_true(beyond)
    first[refused] = np.nan
    return first
