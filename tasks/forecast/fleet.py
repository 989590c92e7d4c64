"""The fleet forecaster: all series at once, each forecast as well as its history allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from tasks.forecast import ladder
from tasks.forecast.batch import LEVELS, Bools, Float32s, Floats, ForecastBatch, empty_batch, median_of
from tasks.forecast.calibrate import add_offsets
from tasks.forecast.fit import FleetState, fit_fleet
from tasks.forecast.model import seasonal_forecast
from tasks.forecast.paths import bounds
from tasks.forecast.pooled import pooled_forecast
from tasks.forecast.prepare import Ints, Scaled, prepare, scale_histories
from tasks.forecast.seasonal import seasonal_arrays
from tasks.forecast.short import constant_forecast, short_forecast

BLOCK_SERIES = 32
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
    return forecast_chunk(
        values,
        state or fit_fleet(values, season_lengths=season_lengths, horizon=horizon, levels=levels, seed=seed),
    )


def forecast_chunk(values: Floats, state: FleetState) -> ForecastBatch:
    """Forecast some series of a fleet with its `state`: the same to the last digit however they are cut."""
    values = np.asarray(values, dtype=float)
    batch = empty_batch(len(values), state.path_count, state.horizon, state.levels)
    method, warnings, refusals = list(batch.method), list(batch.warnings), list(batch.refusals)
    for length, rows in _blocks(ladder.lengths(values, state.season)):
        part = _part(batch, rows)
        labels = _forecast_block(values[rows, values.shape[1] - length :], state, part)
        _put(part, batch, rows)
        for i, row in enumerate(rows.tolist()):
            method[row], warnings[row], refusals[row] = labels.method[i], labels.warnings[i], labels.refusals[i]
    return replace(batch, method=tuple(method), warnings=tuple(warnings), refusals=tuple(refusals))


def _blocks(lengths: Ints) -> Iterator[tuple[int, Ints]]:
    """Rows of one length of history, so few at a time that their arrays fit the processor's cache."""
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        for first in range(0, len(rows), BLOCK_SERIES):
            yield length, rows[first : first + BLOCK_SERIES]


def _part(batch: ForecastBatch, rows: Ints) -> ForecastBatch:
    """Views of neighbouring rows, which need no copy back, or arrays of their own for scattered ones."""
    if rows[-1] - rows[0] == len(rows) - 1:
        return batch.take(slice(int(rows[0]), int(rows[-1]) + 1))
    return empty_batch(len(rows), batch.scaled_paths.shape[1], batch.horizon, batch.levels)


def _put(part: ForecastBatch, batch: ForecastBatch, rows: Ints) -> None:
    if part.point.base is None:
        for name in ("point", "quantiles", "centre", "scale", "scaled_paths"):
            getattr(batch, name)[rows] = getattr(part, name)


def _forecast_block(values: Floats, state: FleetState, out: ForecastBatch) -> ladder.Labels:
    """Write the forecasts of a block of series, small enough for the processor's cache, into the arrays of `out`."""
    season = state.season
    history = prepare(values, season, state.tuning.winsor_mads)
    rung = ladder.rungs(history, season, state.horizon)
    scaled = _constant_scaled(scale_histories(history, season), rung == "constant", state)
    out.centre[:], out.scale[:] = scaled.centre, scaled.scale
    paths, quantiles = out.scaled_paths, out.quantiles
    for name, method in METHODS.items():
        rows = np.flatnonzero(rung == name)
        if len(rows):
            paths[rows], quantiles[rows] = method(scaled.take(rows), history.start[rows], state)
    along = (history.slope / scaled.scale)[:, None] * np.arange(1, state.horizon + 1)
    limits = bounds(history, state.horizon, rung == "short")
    paths += along[:, None]
    limits.cut_paths(paths, scaled)
    quantiles += along[:, :, None]
    _to_natural(quantiles, scaled, state.levels)
    limits.cut_quantiles(quantiles)
    out.point[:] = median_of(quantiles, state.levels)
    return ladder.labels(rung, history)


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


def _to_natural(quantiles: Floats, scaled: Scaled, levels: tuple[float, ...]) -> None:
    """Turn quantiles (n, h, q) into the units of the series, in place.

    They are spread by a rounding error, so that a series resting on one value finds it inside its interval.
    """
    margin = np.abs(quantiles)
    margin += 1
    margin *= ROUNDING * np.sign(np.asarray(levels) - 0.5)
    quantiles += margin
    quantiles *= scaled.scale[:, None, None]
    quantiles += scaled.centre[:, None, None]
