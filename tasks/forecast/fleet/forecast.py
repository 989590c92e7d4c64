"""The fleet forecaster: all series at once, each forecast as well as its history allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from tasks.forecast.allocation import keep_freed_memory
from tasks.forecast.batch import LEVELS, Bools, Float32s, Floats, ForecastBatch, empty_batch, median_of
from tasks.forecast.fleet import method_by_history
from tasks.forecast.fleet.cold_start import constant_forecast, pooled_forecast, short_forecast
from tasks.forecast.fleet.error_paths import bounds
from tasks.forecast.fleet.fit import FleetState, fit_fleet
from tasks.forecast.fleet.level_shifts import align
from tasks.forecast.fleet.offsets import add_offsets
from tasks.forecast.fleet.prepare import Ints, Scaled, prepare, scale_histories
from tasks.forecast.fleet.seasonal import seasonal_arrays
from tasks.forecast.fleet.seasonal_model import seasonal_forecast
from tasks.forecast.fleet.stocks import without_falls

BLOCK_SERIES = 128
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
    changed_at: Ints | None = None,
) -> ForecastBatch:
    """Forecast every series of `values` (n_series, n_steps), NaN where missing, `horizon` steps ahead.

    `season_lengths` are the seasons in steps, shortest first (a day, a week), common to the batch. A series
    that cannot be forecast is refused with a reason and NaN rows; it never raises nor changes the others.
    `state` from `fit_fleet` saves fitting again and decides season, horizon and levels. `changed_at` is the
    step at which each series is known to have changed its level, negative where none is known; the history
    before it is moved toward its new level. Raises ValueError on a wrong shape, a horizon below 1 or levels that do not
    ascend between 0 and 1.
    """
    values = np.asarray(values, dtype=float)
    state = state or fit_fleet(values, season_lengths=season_lengths, horizon=horizon, levels=levels, seed=seed)
    return forecast_chunk(values, state, changed_at)


def forecast_chunk(values: Floats, state: FleetState, changed_at: Ints | None = None) -> ForecastBatch:
    """Forecast some series of a fleet with its `state`: the same to the last digit however they are cut."""
    values = np.asarray(values, dtype=float)
    keep_freed_memory()
    if changed_at is not None:
        values = align(values, np.asarray(changed_at), state.season)
    values = without_falls(values, state.season)
    batch = empty_batch(len(values), state.path_count, state.horizon, state.levels)
    method, warnings, refusals = list(batch.method), method_by_history.wild_warnings(values), list(batch.refusals)
    for length, rows in _blocks(method_by_history.lengths(values, state.season)):
        labels = _forecast_block(values[rows, values.shape[1] - length :], state, batch, _as_slice(rows))
        for i, row in enumerate(rows.tolist()):
            method[row], refusals[row] = labels.method[i], labels.refusals[i]
            warnings[row] += labels.warnings[i]
    return replace(batch, method=tuple(method), warnings=tuple(warnings), refusals=tuple(refusals))


def _blocks(lengths: Ints) -> Iterator[tuple[int, Ints]]:
    """Rows of one length of history, so few at a time that what is computed on the way stays small."""
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        for block in np.array_split(rows, -(-len(rows) // BLOCK_SERIES)):
            yield length, block


def _as_slice(rows: Ints) -> Ints | slice:
    """Neighbouring rows as a slice, into which arrays are written faster."""
    neighbours = int(rows[-1] - rows[0]) == len(rows) - 1
    return slice(int(rows[0]), int(rows[-1]) + 1) if neighbours else rows


def _forecast_block(
    values: Floats, state: FleetState, batch: ForecastBatch, rows: Ints | slice
) -> method_by_history.Labels:
    """Forecast a block of series and write it into these `rows` of the arrays of `batch`."""
    season = state.season
    history = prepare(values, season, state.tuning.winsor_mads)
    rung = method_by_history.rungs(history, season, state.horizon)
    scaled = _constant_scaled(scale_histories(history, season), rung == "constant", state)
    paths, quantiles = _by_rung(scaled, history.start, rung, state)
    if history.slope.any():
        along = (history.slope / scaled.scale)[:, None] * np.arange(1, state.horizon + 1)
        paths = paths + along[:, None].astype(np.float32)
        quantiles = quantiles + along[:, :, None].astype(np.float32)
    limits = bounds(history, state.horizon, rung == "short")
    natural = limits.cut_quantiles(_natural(quantiles, scaled, state.levels))
    batch.centre[rows], batch.scale[rows] = scaled.centre, scaled.scale
    batch.scaled_paths[rows] = limits.cut_paths(paths, scaled)
    batch.quantiles[rows] = natural
    batch.point[rows] = median_of(natural, state.levels)
    return method_by_history.labels(rung, history)


def _by_rung(scaled: Scaled, start: Ints, rung: method_by_history.Names, state: FleetState) -> PathsAndQuantiles:
    """Paths and quantiles of each series by the method of its rung, NaN for the refused."""
    first = str(rung[0])
    if first in METHODS and (rung == first).all():
        return METHODS[first](scaled, start, state)
    n, levels = len(rung), len(state.levels)
    paths = np.full((n, state.path_count, state.horizon), np.nan, dtype=np.float32)
    quantiles = np.full((n, state.horizon, levels), np.nan, dtype=np.float32)
    for name, method in METHODS.items():
        rows = np.flatnonzero(rung == name)
        if len(rows):
            paths[rows], quantiles[rows] = method(scaled.take(rows), start[rows], state)
    return paths, quantiles


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


def _natural(quantiles: Float32s, scaled: Scaled, levels: tuple[float, ...]) -> Floats:
    """Quantiles (n, h, q) in the units of the series.

    They are spread by a rounding error, so that a series resting on one value finds it inside its interval.
    """
    side = (ROUNDING * np.sign(np.asarray(levels) - 0.5)).astype(np.float32)
    spread = np.abs(quantiles)
    spread += np.float32(1)
    spread *= side
    spread += quantiles
    natural = spread * scaled.scale[:, None, None]
    natural += scaled.centre[:, None, None]
    return np.asarray(natural)
