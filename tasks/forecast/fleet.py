"""The fleet forecaster: all series at once, each forecast as well as its history allows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tasks.forecast import ladder
from tasks.forecast.batch import LEVELS, Bools, Float32s, Floats, ForecastBatch, concatenate, median_of
from tasks.forecast.calibrate import add_offsets
from tasks.forecast.fit import FleetState, fit_fleet
from tasks.forecast.model import seasonal_forecast
from tasks.forecast.paths import Bounds, bounds
from tasks.forecast.pooled import pooled_forecast
from tasks.forecast.prepare import Ints, Scaled, prepare, scale_histories
from tasks.forecast.seasonal import seasonal_arrays
from tasks.forecast.short import constant_forecast, short_forecast

CHUNK_SERIES = 64
ROUNDING = 2.0**-20
PathsAndQuantiles = tuple[Float32s, Float32s]


def forecast_batch(
    values: Floats,
    *,
    season_lengths: tuple[int, ...],
    horizon: int,
    levels: tuple[float, ...] = LEVELS,
    seed: int = 0,
    state: FleetState | None = None,
) -> ForecastBatch:
    """Forecast every series of `values` (n_series, n_steps), NaN where missing, `horizon` steps ahead.

    `season_lengths` are the seasons in steps, shortest first (a day, a week), common to the batch. A series
    that cannot be forecast is refused with a reason and NaN rows; it never raises nor changes the others.
    `state` from `fit_fleet` saves fitting again and decides season, horizon and levels. Raises ValueError
    on a wrong shape, a horizon below 1 or levels that do not ascend between 0 and 1.
    """
    values = np.asarray(values, dtype=float)
    state = state or fit_fleet(values, season_lengths=season_lengths, horizon=horizon, levels=levels, seed=seed)
    firsts = range(0, max(len(values), 1), CHUNK_SERIES)
    return concatenate([forecast_chunk(values[i : i + CHUNK_SERIES], state) for i in firsts])


def forecast_chunk(values: Floats, state: FleetState) -> ForecastBatch:
    """Forecast some series of a fleet with its `state`: the same to the last digit however they are cut.

    Chunks of about 64 series keep the working arrays in the processor's cache.
    """
    season = state.season
    history = prepare(np.asarray(values, dtype=float), season, state.tuning.winsor_mads)
    scaled = scale_histories(history, season)
    rung = ladder.rungs(history, season, state.horizon)
    scaled = _constant_scaled(scaled, rung == "constant", state)
    paths, quantiles = _empty(len(values), state)
    for name, method in METHODS.items():
        rows = np.flatnonzero(rung == name)
        if len(rows):
            paths[rows], quantiles[rows] = method(scaled.take(rows), history.start[rows], state)
    along = (history.slope / scaled.scale)[:, None] * np.arange(1, state.horizon + 1)
    limits = bounds(history, state.horizon)
    paths = limits.inside(paths + along[:, None].astype(np.float32), scaled)
    natural = _natural_quantiles(quantiles + along[:, :, None], scaled, limits, state.levels)
    return ForecastBatch(
        point=median_of(natural, state.levels),
        quantiles=natural,
        levels=state.levels,
        centre=scaled.centre,
        scale=scaled.scale,
        scaled_paths=paths,
        method=ladder.methods(rung, history),
        warnings=ladder.warnings(history),
        refusals=ladder.refusals(history),
    )


def _constant_scaled(scaled: Scaled, constant: Bools, state: FleetState) -> Scaled:
    """A constant series gets the width of the steadiest of the fleet, relative to its level."""
    floor = np.abs(scaled.centre) * state.floor_ratio
    return scaled.with_scale(np.where(constant & (floor > 0), floor, scaled.scale))


def _seasonal(scaled: Scaled, start: Ints, state: FleetState) -> PathsAndQuantiles:
    arrays = seasonal_arrays(scaled.model, state.season, state.week, state.horizon)
    forecast = seasonal_forecast(scaled, arrays, state.coefficients, state.tuning, state.horizon)
    quantiles = forecast.quantiles(state.levels)
    return forecast.paths(), add_offsets(quantiles, state.offsets, state.horizon)


METHODS: dict[str, Callable[[Scaled, Ints, FleetState], PathsAndQuantiles]] = {
    "seasonal": _seasonal,
    "pooled": pooled_forecast,
    "short": short_forecast,
    "constant": constant_forecast,
}


def _natural_quantiles(quantiles: Floats, scaled: Scaled, limits: Bounds, levels: tuple[float, ...]) -> Floats:
    """Quantiles (n, h, q) in the units of the series, within its bounds.

    They are spread by a rounding error, so that a series resting on one value finds it inside its interval.
    """
    side = np.sign(np.asarray(levels) - 0.5)
    spread = quantiles + ROUNDING * (1 + np.abs(quantiles)) * side
    natural = scaled.centre[:, None, None] + scaled.scale[:, None, None] * spread
    return np.clip(natural, limits.low[:, :, None], limits.high[:, :, None])


def _empty(n: int, state: FleetState) -> PathsAndQuantiles:
    paths = np.full((n, state.path_count, state.horizon), np.nan, dtype=np.float32)
    return paths, np.full((n, state.horizon, len(state.levels)), np.nan, dtype=np.float32)
