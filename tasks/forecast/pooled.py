"""Forecasts for one to four cycles of history: the coefficients and the error paths of the fleet."""

from __future__ import annotations

import numpy as np

from tasks.forecast import defaults, ladder
from tasks.forecast.batch import Float32s, path_quantiles
from tasks.forecast.coefficients import by_step
from tasks.forecast.fit import FleetState
from tasks.forecast.paths import phase_scale
from tasks.forecast.prepare import Ints, Scaled
from tasks.forecast.seasonal import predict, seasonal_arrays
from tasks.forecast.young import inflation

PHASE_POWER = np.float32(0.25)  # of the spread of phases: two days tell little of it
PHASE_CYCLES = 2  # fewer do not show how much each phase differs from the day before


def pooled_forecast(scaled: Scaled, start: Ints, state: FleetState) -> tuple[Float32s, Float32s]:
    """Sample paths (n, s, h) and quantiles (n, h, q), in path units."""
    t = scaled.model.shape[1]
    arrays = seasonal_arrays(scaled.model, state.season, state.week, state.horizon)
    cycles = t / state.season
    # With one cycle base and naive are the same, so what long histories teach does not hold yet.
    maturity = min(max((cycles - 1) / (ladder.SEASONAL_CYCLES - 1), 0.0), 1.0)
    young = defaults.coefficients(state.season, state.horizon, weekly=True)[:, : arrays.feature_count]
    learned = state.coefficients[:, : arrays.feature_count]
    steps = by_step((young + maturity * (learned - young))[None], state.horizon)
    predicted = predict(arrays, np.array([t - 1]), steps)
    errors = state.library[None] * np.float32(inflation(cycles))
    if cycles >= PHASE_CYCLES:
        phases = phase_scale(scaled.raw, state.season)
        phases = (phases / phases.mean(axis=1, keepdims=True)) ** PHASE_POWER
        errors = errors * phases[:, None, np.arange(state.horizon) % state.season]
    paths = predicted + errors
    both = np.concatenate([paths, predicted - errors], axis=1)
    return paths, path_quantiles(both, state.levels)
