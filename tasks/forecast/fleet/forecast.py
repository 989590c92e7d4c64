"""The fleet forecaster: all series at once, each forecast as well as its history allows."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import numpy as np

from tasks.forecast.allocation import keep_freed_memory
from tasks.forecast.batch import (
    LEVELS,
    Bools,
    Float32s,
    Floats,
    ForecastBatch,
    Ints,
    empty_batch,
    median_of,
    path_quantiles,
)
from tasks.forecast.fleet import method_by_history
from tasks.forecast.fleet.cold_start import constant_forecast, pooled_forecast, short_forecast
from tasks.forecast.fleet.error_paths import bounds
from tasks.forecast.fleet.excursions import Excursion, find_excursions, staying, told_of_excursion
from tasks.forecast.fleet.fit import FleetState, fit_shared, young_sample
from tasks.forecast.fleet.level_shifts import Shift, find_shifts, mixed_quantiles, shares_ahead
from tasks.forecast.fleet.offsets import add_offsets, at_levels
from tasks.forecast.fleet.other_seasons import find_other_seasons
from tasks.forecast.fleet.prepare import HOURS, History, Scaled, prepare, scale_histories
from tasks.forecast.fleet.ramps import find_ramps, mixed_with_ramp, told_of_ramp
from tasks.forecast.fleet.resting import resting_values, settle
from tasks.forecast.fleet.seasonal import seasonal_arrays
from tasks.forecast.fleet.seasonal_model import seasonal_forecast
from tasks.forecast.fleet.stocks import Stock, filled_on, find_stocks
from tasks.forecast.fleet.untaught import coefficients
from tasks.forecast.fleet.widths import young_width
from tasks.interventions.fast_moves import Ramp

BLOCK_SERIES = 64
ROUNDING = 2.0**-20
GOLDEN, SQUARE_ROOT = (5**0.5 - 1) / 2, 2**0.5
NO_SEASONS: Mapping[int, Ints] = MappingProxyType({})
MIXED_LEVELS = (0.01, *LEVELS, 0.99)
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


def fit_fleet(
    values: Floats,
    *,
    season_lengths: tuple[int, ...],
    horizon: int,
    levels: tuple[float, ...] = LEVELS,
    seed: int = 0,
) -> FleetState:
    """Learn what the series of a fleet share; arguments as for `forecast_batch`."""
    values = np.asarray(values, dtype=float)
    keep_freed_memory()
    fit = partial(fit_shared, season_lengths=season_lengths, levels=levels, seed=seed)
    state = fit(values, horizon=horizon)

    def foretold(past: Floats, ahead: int) -> ForecastBatch:
        return forecast_chunk(past, fit(past, horizon=ahead))

    width = young_width(young_sample(values, state.season), state.season, horizon, foretold)
    return replace(state, tuning=replace(state.tuning, width=state.tuning.width * width))


def forecast_chunk(values: Floats, state: FleetState, changed_at: Ints | None = None) -> ForecastBatch:
    """Forecast some series of a fleet with its `state`: the same to the last digit however they are cut."""
    values = np.asarray(values, dtype=float)
    keep_freed_memory()
    stocks = find_stocks(values, state.season)
    values = filled_on(values, stocks)
    shifts = find_shifts(values, state.season, changed_at)
    values = _aligned(values, shifts)
    undecided = [shift for shift in shifts if shift.share < 1]
    batch = _forecast_rows(values, state, find_other_seasons(values, state.season, {each.row for each in undecided}))
    batch = _told(_with_undecided(batch, values, state, undecided), shifts, values.shape[1], state.season)
    known = {stock.row for stock in stocks}
    ramps = {row: ramp for row, ramp in find_ramps(values, state.season).items() if row not in known}
    batch = _going_on(batch, state, ramps)
    decided = {*known, *ramps, *(shift.row for shift in shifts if shift.share == 1)}
    found = find_excursions(values, state.season, state.horizon)
    batch, stay = _staying(batch, state, {row: each for row, each in found.items() if row not in decided})
    batch = batch.unlike_past(sorted({*decided, *stay, *(shift.row for shift in undecided)}))
    return _emptied(batch, state, [stock for stock in stocks if stock.recurs])


def _going_on(batch: ForecastBatch, state: FleetState, ramps: Mapping[int, Ramp]) -> ForecastBatch:
    """Let series on a ramp follow it for a while."""
    warnings, count = list(batch.warnings), state.path_count
    for row, ramp in ramps.items():
        if batch.refusals[row] is None:
            mixed = mixed_with_ramp(ramp, batch.paths_of(row), _turns(count), _turns(count, SQUARE_ROOT))
            mixed = np.maximum(mixed, 0.0) if ramp.is_never_negative else mixed
            _replace_paths(batch, row, mixed, state)
            warnings[row] = (*warnings[row], told_of_ramp(ramp))
    return replace(batch, warnings=tuple(warnings))


def _staying(
    batch: ForecastBatch, state: FleetState, excursions: Mapping[int, Excursion]
) -> tuple[ForecastBatch, list[int]]:
    """Let series that just jumped stay for a while; return the rows that would have fallen back sooner, too."""
    warnings, stay = list(batch.warnings), list[int]()
    for row, excursion in excursions.items():
        paths = None
        if batch.refusals[row] is None:
            paths = staying(excursion, batch.paths_of(row), _turns(state.path_count))
        if paths is not None:
            _replace_paths(batch, row, paths, state)
            warnings[row] = (*warnings[row], told_of_excursion(excursion))
            stay.append(row)
    return replace(batch, warnings=tuple(warnings)), stay


def _replace_paths(batch: ForecastBatch, row: int, paths: Floats, state: FleetState) -> None:
    """Put paths (s, h) of one series, in its unit, in the place of those there, and their quantiles with them."""
    batch.scaled_paths[row] = (paths - batch.centre[row]) / batch.scale[row]
    batch.quantiles[row] = path_quantiles(paths[None].astype(np.float32), state.levels)[0]
    batch.point[row] = median_of(batch.quantiles[row][None], state.levels)[0]


def _emptied(batch: ForecastBatch, state: FleetState, stocks: list[Stock]) -> ForecastBatch:
    """Let stocks that empty themselves now and then do so in their paths."""
    warnings = list(batch.warnings)
    for row, stock in ((stock.row, stock) for stock in stocks):
        if batch.refusals[row] is None:
            # Seeded by what fell, so that stocks fall apart from one another however the batch is cut.
            rng = np.random.default_rng([state.seed, zlib.crc32(stock.fallen.tobytes())])
            _replace_paths(batch, row, stock.emptied_ahead(batch.paths_of(row), rng), state)
            warnings[row] = (*warnings[row], stock.told())
    return replace(batch, warnings=tuple(warnings))


def _aligned(values: Floats, shifts: list[Shift]) -> Floats:
    """Histories (n, t) with what was before a shift that has lasted moved to the level after it."""
    lasting = [shift for shift in shifts if shift.share == 1]
    moved = values.copy() if lasting else values
    for shift in lasting:
        moved[shift.row] = shift.aligned(values[shift.row])
    return moved


def _told(batch: ForecastBatch, shifts: list[Shift], steps: int, season: int) -> ForecastBatch:
    """The same with a word on every shift of a series that is forecast."""
    warnings = list(batch.warnings)
    for shift in shifts:
        warnings[shift.row] += (shift.told(steps, season),) * (batch.refusals[shift.row] is None)
    return replace(batch, warnings=tuple(warnings))


def _with_undecided(batch: ForecastBatch, values: Floats, state: FleetState, shifts: list[Shift]) -> ForecastBatch:
    """Mix a forecast from the new level into that of series for which it is open whether the old one comes back."""
    if not shifts:
        return batch
    rows = [shift.row for shift in shifts]
    moved = np.stack([shift.aligned(values[shift.row]) for shift in shifts])
    fine = replace(state, levels=MIXED_LEVELS, offsets=at_levels(state.offsets, state.levels, MIXED_LEVELS))
    old, new = _forecast_rows(values[rows], fine), _forecast_rows(moved, fine)
    for place, (row, shift) in enumerate(zip(rows, shifts, strict=True)):
        if old.refusals[place] is not None:
            continue
        share = shares_ahead(shift, values.shape[1], state.horizon)
        paths = np.where(_turns(state.path_count)[:, None] < share, new.paths_of(place), old.paths_of(place))
        batch.scaled_paths[row] = (paths - batch.centre[row]) / batch.scale[row]
        both = np.concatenate([old.quantiles[place], new.quantiles[place]], axis=1)
        batch.quantiles[row] = mixed_quantiles(both, MIXED_LEVELS, share, state.levels)
        batch.point[row] = mixed_quantiles(both, MIXED_LEVELS, share, (0.5,))[:, 0]
    return batch


def _turns(count: int, each: float = GOLDEN) -> Floats:
    """Chances (count,), evenly spread and in no order, below which each path is on the new level: the same for all."""
    return np.asarray((np.arange(count) * each + 0.5 / count) % 1.0)


def _forecast_rows(values: Floats, state: FleetState, other_seasons: Mapping[int, Ints] = NO_SEASONS) -> ForecastBatch:
    """Forecast each series from its history as it is, by its own season those rows that follow another than the day."""
    batch = empty_batch(len(values), state.path_count, state.horizon, state.levels)
    method, warnings, refusals = list(batch.method), method_by_history.wild_warnings(values), list(batch.refusals)
    of_day = np.setdiff1d(np.arange(len(values)), [row for rows in other_seasons.values() for row in rows.tolist()])
    for period, of_period in ((state.season, of_day), *other_seasons.items()):
        own = state if period == state.season else _of_season(state, period)
        notes = () if own is state else (_told_season(period, state.season),)
        for length, rows in _blocks(of_period, method_by_history.lengths(values[of_period], own.season)):
            labels = _forecast_block(values[rows, values.shape[1] - length :], own, batch, _as_slice(rows))
            for i, row in enumerate(rows.tolist()):
                method[row] = labels.method[i] if own is state else f"{labels.method[i]}, {period} steps"
                refusals[row] = labels.refusals[i]
                warnings[row] += labels.warnings[i] + notes
    batch = replace(
        batch,
        method=tuple(method),
        warnings=tuple(warnings),
        refusals=tuple(refusals),
        past=values,
        past_weight=np.full(len(values), state.past_weight),
    )
    return batch.unlike_past([row for row, name in enumerate(method) if method_by_history.TRENDING in name])


def _of_season(state: FleetState, period: int) -> FleetState:
    """What a fleet has learned, for series with a season of so many steps: coefficients of a day do not hold there."""
    untaught_ones = coefficients(period, state.horizon, weekly=False)
    return replace(state, season_lengths=(period,), coefficients=untaught_ones)


def _told_season(period: int, day: int) -> str:
    return f"it repeats every {period * HOURS / day:.3g} hours rather than every day, and is forecast so"


def _blocks(rows: Ints, lengths: Ints) -> Iterator[tuple[int, Ints]]:
    """Those of the rows with one length of history, so few at a time that what is computed on the way stays small."""
    for length in np.unique(lengths).tolist():
        alike = rows[lengths == length]
        for block in np.array_split(alike, -(-len(alike) // BLOCK_SERIES)):
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
    # How wide a trend makes them is known from its own slope.
    _widen(quantiles, np.flatnonzero((rung == "pooled") & (history.slope == 0)), state)
    for row in np.flatnonzero(history.slope).tolist():
        _lay_on_trend(paths[row], quantiles[row], history, scaled, row, state)
    scaled = settle(paths, quantiles, resting_values(history, season, state.horizon), scaled)
    limits = bounds(history, state.horizon, rung == "short")
    natural = limits.cut_quantiles(_natural(quantiles, scaled, state.levels))
    batch.centre[rows], batch.scale[rows] = scaled.centre, scaled.scale
    batch.scaled_paths[rows] = limits.cut_paths(paths, scaled)
    batch.quantiles[rows] = natural
    batch.point[rows] = median_of(natural, state.levels)
    return method_by_history.labels(rung, history)


def _widen(quantiles: Float32s, young: Ints, state: FleetState) -> None:
    """Widen, in place, the quantiles (n, h, q) of series without errors of their own as their fleet needs it."""
    if state.tuning.width != 1 and len(young):
        middle = median_of(quantiles[young].astype(float), state.levels)[:, :, None].astype(np.float32)
        quantiles[young] = middle + np.float32(state.tuning.width) * (quantiles[young] - middle)


def _lay_on_trend(
    paths: Float32s, quantiles: Float32s, history: History, scaled: Scaled, row: int, state: FleetState
) -> None:
    """Lay, in place, the paths (s, h) and quantiles (h, q) of one series on the trend that was taken out.

    Each path takes a slope of its own, as uncertain as it is known.
    """
    # Imported late: the facade and the command line show forecasts, and make none.
    from scipy.special import ndtri

    ahead = np.arange(1, state.horizon + 1)
    slope, error = (float(of[row] / scaled.scale[row]) for of in (history.slope, history.slope_error))
    course, spread = (slope * ahead).astype(np.float32), (error * ahead).astype(np.float32)
    middle = median_of(quantiles[None].astype(float), state.levels)[0, :, None].astype(np.float32)
    width = (quantiles[:, -1:] - quantiles[:, :1]) / np.float32(ndtri(state.levels[-1]) - ndtri(state.levels[0]))
    wider = np.sqrt(1 + (spread[:, None] / np.maximum(width, 1e-9)) ** 2).astype(np.float32)
    quantiles[:] = middle + (quantiles - middle) * wider + course[:, None]
    paths += course + spread * ndtri(_turns(state.path_count))[:, None].astype(np.float32)


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
