"""How far each step of a history lies from what the fleet would have foretold for it one step before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.forecast.batch import Floats, Ints
from tasks.forecast.fleet import method_by_history
from tasks.forecast.fleet.fit import FleetState
from tasks.forecast.fleet.prepare import prepare, scale_histories
from tasks.forecast.fleet.regression import by_step
from tasks.forecast.fleet.seasonal import first_origin, predict, seasonal_arrays


@dataclass(frozen=True)
class OneStepResiduals:
    """Gives observed minus foretold (rows, t) of some rows of `values` (n, t), in the units of the series.

    NaN where missing, and for a series' first two seasons, which no forecast had behind it. Of a large fleet all at
    once would take several times as much memory as its history.
    """

    values: Floats
    state: FleetState

    def __call__(self, rows: Ints) -> Floats:
        return _missed(self.values[rows], self.state)


def one_step_residuals(values: Floats, state: FleetState) -> OneStepResiduals | None:
    """Return what gives them; None where no step has a forecast: there is no season, or too little history."""
    n, t = values.shape
    if state.season == 1 or t <= first_origin(state.season) + 1 or not n:
        return None
    return OneStepResiduals(values, state)


def _missed(values: Floats, state: FleetState) -> Floats:
    season, (n, t) = state.season, values.shape
    first = first_origin(season)
    history = prepare(values, season, state.tuning.winsor_mads)
    scaled = scale_histories(history, season)
    arrays = seasonal_arrays(scaled.model, season, state.week, state.horizon)
    steps = by_step(state.coefficients[None, :, : arrays.feature_count], state.horizon)[:, :1]
    origins = np.arange(first, t - 1, dtype=np.intp)
    ahead = origins + 1
    missed = (scaled.raw[:, ahead] - predict(arrays, origins, steps)[:, :, 0]) * scaled.scale[:, None]
    judged = np.isfinite(values[:, ahead]) & (ahead >= history.start[:, None] + first)
    judged &= ~method_by_history.constant(history)[:, None]
    residuals = np.full((n, t), np.nan)
    residuals[:, ahead] = np.where(judged, missed, np.nan)
    return residuals
