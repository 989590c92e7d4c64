"""The fleet forecaster: all series at once, each forecast as well as its history allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.forecast.batch import (
    LEVELS,
    Float32s,
    Floats,
    ForecastBatch,
    concatenate,
    median_of,
    path_quantiles,
)
from tasks.forecast.coefficients import by_step, pooled_coefficients, series_coefficients
from tasks.forecast.paths import clip_paths, phase_scale, raw_windows, rescale_errors
from tasks.forecast.prepare import (
    MIN_USABLE_POINTS,
    History,
    Ints,
    Scaled,
    prepare,
    scale_histories,
)
from tasks.forecast.seasonal import first_origin, predict, seasonal_arrays
from tasks.forecast.short import reverting_paths

CHUNK_SERIES = 64
ERROR_PATHS = 36
RAW_PATHS = 18
SHRINKAGE = 1.0
FLEET_SAMPLE = 256


@dataclass(frozen=True)
class FleetState:
    """What is learned once from the whole fleet and then serves every chunk of it."""

    season_lengths: tuple[int, ...]
    horizon: int
    levels: tuple[float, ...]
    seed: int
    coefficients: Floats | None  # (buckets, features); None: no series with enough cycles


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
    `state` from `fit_fleet` saves fitting again. Raises ValueError on a wrong shape or a horizon below 1.
    """
    values = _checked(values, horizon)
    state = state or fit_fleet(
        values, season_lengths=season_lengths, horizon=horizon, levels=levels, seed=seed
    )
    chunks = [values[i : i + CHUNK_SERIES] for i in range(0, max(len(values), 1), CHUNK_SERIES)]
    return concatenate([forecast_chunk(chunk, state) for chunk in chunks])


def fit_fleet(
    values: Floats,
    *,
    season_lengths: tuple[int, ...],
    horizon: int,
    levels: tuple[float, ...] = LEVELS,
    seed: int = 0,
) -> FleetState:
    """Learn what series share, from up to 256 of them; arguments as for `forecast_batch`."""
    values = _checked(values, horizon)
    season, week = _seasons(season_lengths)
    coefficients = None
    origins = _origins(values.shape[1], season, horizon)
    rows = np.flatnonzero(_rungs(prepare(values, season), season, horizon) == "seasonal")[:FLEET_SAMPLE]
    if len(rows):
        chunks = []
        for i in range(0, len(rows), CHUNK_SERIES):
            history = prepare(values[rows[i : i + CHUNK_SERIES]], season)
            chunks.append(seasonal_arrays(scale_histories(history, season).model, season, week, horizon))
        coefficients = pooled_coefficients(chunks, origins, horizon)
    return FleetState(tuple(season_lengths), horizon, tuple(levels), seed, coefficients)


def forecast_chunk(values: Floats, state: FleetState) -> ForecastBatch:
    """Forecast some series of a fleet with its `state`: the same to the last digit however they are cut."""
    season, _ = _seasons(state.season_lengths)
    n, horizon = len(values), state.horizon
    history = prepare(values, season)
    scaled = scale_histories(history, season)
    rungs = _rungs(history, season, horizon)
    paths = np.full((n, ERROR_PATHS + RAW_PATHS, horizon), np.nan, dtype=np.float32)
    for name, method in (("seasonal", _seasonal_paths), ("short", _short_paths), ("constant", _flat_paths)):
        rows = np.flatnonzero(rungs == name)
        if len(rows):
            paths[rows] = method(_take(scaled, rows), history.start[rows], state)
    never_below = history.raw.min(axis=1) >= 0
    paths = clip_paths(paths, scaled.raw, -scaled.centre / scaled.scale, never_below)
    quantiles = scaled.centre[:, None, None] + scaled.scale[:, None, None] * path_quantiles(
        paths, state.levels
    )
    return ForecastBatch(
        point=median_of(quantiles, state.levels),
        quantiles=quantiles,
        levels=state.levels,
        centre=scaled.centre,
        scale=scaled.scale,
        scaled_paths=paths,
        method=tuple(str(rung) for rung in rungs),
        warnings=_warnings(history),
        refusals=_refusals(history),
    )


def _seasonal_paths(scaled: Scaled, start: Ints, state: FleetState) -> Float32s:
    season, week = _seasons(state.season_lengths)
    t, horizon = scaled.model.shape[1], state.horizon
    arrays = seasonal_arrays(scaled.model, season, week, horizon)
    origins = _origins(t, season, horizon)
    assert state.coefficients is not None
    fitted = by_step(series_coefficients(arrays, origins, horizon, state.coefficients, SHRINKAGE), horizon)
    predicted = predict(arrays, np.append(origins, t - 1), fitted)
    errors = scaled.raw[:, origins[:, None] + 1 + np.arange(horizon)] - predicted[:, :-1]
    errors = rescale_errors(errors, origins, phase_scale(scaled.raw, season), t)
    raw = raw_windows(scaled.raw, season, horizon, RAW_PATHS)
    return np.concatenate([predicted[:, -1:] + errors, raw], axis=1)


def _short_paths(scaled: Scaled, start: Ints, state: FleetState) -> Float32s:
    draws = np.random.default_rng(state.seed).standard_normal((ERROR_PATHS + RAW_PATHS, state.horizon))
    return reverting_paths(scaled.raw, start, state.horizon, draws.astype(np.float32))


def _flat_paths(scaled: Scaled, start: Ints, state: FleetState) -> Float32s:
    shape = (len(start), ERROR_PATHS + RAW_PATHS, state.horizon)
    return np.broadcast_to(scaled.raw[:, -1][:, None, None], shape)


def _rungs(history: History, season: int, horizon: int) -> np.ndarray:
    """The rung of the ladder each series stands on."""
    t = history.raw.shape[1]
    flat = history.raw.max(axis=1) == history.raw.min(axis=1)
    enough = (t - history.start >= 4 * season) & (season > 1)
    enough &= t - 1 - horizon >= first_origin(season)
    rung = np.where(enough, "seasonal", "short")
    rung = np.where(flat, "constant", rung)
    return np.where(history.usable < MIN_USABLE_POINTS, "refused", rung)


def _refusals(history: History) -> tuple[str | None, ...]:
    return tuple(
        None
        if usable >= MIN_USABLE_POINTS
        else f"{usable} usable points; a forecast needs {MIN_USABLE_POINTS}"
        for usable in history.usable.tolist()
    )


def _warnings(history: History) -> tuple[tuple[str, ...], ...]:
    t = history.raw.shape[1]
    notes: list[tuple[str, ...]] = []
    for start, filled, wild in zip(history.start, history.filled, history.implausible, strict=True):
        note = []
        if wild:
            note.append(f"{wild} infinite or implausibly large values treated as missing")
        if t > start and filled / (t - start) > 0.2:
            note.append(f"{filled / (t - start):.0%} of the history are filled gaps")
        notes.append(tuple(note))
    return tuple(notes)


def _origins(length: int, season: int, horizon: int) -> Ints:
    first, last = first_origin(season), length - 1 - horizon
    return np.unique(np.linspace(first, max(first, last), ERROR_PATHS).astype(np.intp))


def _seasons(season_lengths: tuple[int, ...]) -> tuple[int, int | None]:
    """A day and, if there is one, a week in steps."""
    longer = [int(m) for m in season_lengths if m > 1]
    return (longer[0] if longer else 1), (longer[1] if len(longer) > 1 else None)


def _take(scaled: Scaled, rows: Ints) -> Scaled:
    return Scaled(scaled.raw[rows], scaled.model[rows], scaled.centre[rows], scaled.scale[rows])


def _checked(values: Floats, horizon: int) -> Floats:
    values = np.asarray(values, dtype=float)
    if values.ndim != 2:
        raise ValueError(f"values must be (series, steps), not of shape {values.shape}")
    if horizon < 1:
        raise ValueError(f"horizon must be at least one step, not {horizon}")
    return values
