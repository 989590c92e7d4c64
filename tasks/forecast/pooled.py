"""Forecasts for one to four cycles of history: the coefficients and the error paths of the fleet."""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Float32s, path_quantiles
from tasks.forecast.coefficients import by_step
from tasks.forecast.fit import FleetState
from tasks.forecast.prepare import Ints, Scaled
from tasks.forecast.seasonal import predict, seasonal_arrays

YOUTH_INFLATION = 0.6  # extra error of a base made of one cycle; it falls with the number of cycles


def pooled_forecast(scaled: Scaled, start: Ints, state: FleetState) -> tuple[Float32s, Float32s]:
    """Sample paths (n, s, h) and quantiles (n, h, q) of series with `start` 1.2 to 4 cycles ago, in path units."""
    t = scaled.model.shape[1]
    arrays = seasonal_arrays(scaled.model, state.season, state.week, state.horizon)
    steps = by_step(state.coefficients[None, :, : arrays.feature_count], state.horizon)
    predicted = predict(arrays, np.array([t - 1]), steps)
    inflation = 1 + YOUTH_INFLATION * state.season / np.maximum(t - start, 1)
    errors = state.library * inflation.astype(np.float32)[:, None, None]
    paths = predicted + errors
    both = np.concatenate([paths, predicted - errors], axis=1)
    return paths, path_quantiles(both, state.levels)
