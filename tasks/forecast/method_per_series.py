"""Which forecaster serves which series: one for the fleet, another where the configuration names it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np

from storage.errors import ForeactError
from storage.records import Frame, metric_of
from tasks.forecast.batch import ForecastBatch, Ints
from tasks.forecast.fleet.fit import FleetState
from tasks.forecast.fleet.forecast import fit_fleet, forecast_chunk
from tasks.forecast.forecasters import get
from tasks.forecast.forecasters.darts_model import DartsForecaster
from tasks.forecast.time_budget import TimeBudget

FLEET = ("fleet", "ensemble")


@dataclass(frozen=True)
class Method:
    """A forecaster by name, with what it is given."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MethodPerSeries:
    """The default method, others by series or metric, and the arguments of each method named without any."""

    default: str = "ensemble"
    per_metric: Mapping[str, str | Method] = field(default_factory=dict)
    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def method_of(self, series: str) -> Method:
        """Return the method that serves a series: its own, its metric's, or the default."""
        return self._whole(self.per_metric.get(series, self.per_metric.get(metric_of(series), self.default)))

    def wrong_methods(self) -> dict[str, str]:
        """Return by metric, or under "default_method", what is wrong with its method, and the remedy."""
        asked = {"default_method": self.default} | dict(self.per_metric)
        troubles = {metric: trouble_with(self._whole(method)) for metric, method in asked.items()}
        return {metric: trouble for metric, trouble in troubles.items() if trouble is not None}

    def _whole(self, method: str | Method) -> Method:
        return method if isinstance(method, Method) else Method(method, self.arguments.get(method, {}))


def trouble_with(method: Method) -> str | None:
    """Return why a method cannot be built as configured, and the remedy; None where it can."""
    try:
        get(method.name, method.arguments)
    except ForeactError as trouble:
        return f"{trouble.message} {trouble.remedy}"
    return None


def forecast_frame(
    frame: Frame,
    serving: MethodPerSeries,
    horizon: int,
    seed: int,
    *,
    state: FleetState | None = None,
    changed_at: Ints | None = None,
    must_serve: bool = True,
    pace: TimeBudget | None = None,
) -> ForecastBatch:
    """Forecast every series of a frame by the method that serves it, as one batch.

    A path index is one joint future of the series that the fleet or a model of darts serves; paths of the other
    methods are their own. The fleet forecasts all of them first: what another method cannot forecast keeps that, with
    a warning. `state` is what the fleet learned before, of these seasons and this horizon; without it the fleet is
    fitted. `changed_at` is the step (series,) at which each is known to have changed its level, negative where none is
    known. Raises `unknown_forecaster` and what the forecaster's file raises for arguments that it does not take; where
    not `must_serve`, the fleet's forecast stands in for those, too. `pace` is how long models of darts may take; those
    not reached keep the fleet's forecast, with a warning.
    """
    seasons = frame.season_lengths
    fleet_state = state or fit_fleet(frame.values, season_lengths=seasons, horizon=horizon, seed=seed)
    batch = forecast_chunk(frame.values, fleet_state, changed_at)
    batch = _told(frame, batch, changed_at)
    for method, rows in _by_method(frame, serving):
        wrong = None if must_serve else trouble_with(method)
        if wrong is not None:
            batch = _misfit(frame, batch, rows, wrong)
            continue
        serve = get(method.name, method.arguments)
        if isinstance(serve, DartsForecaster):
            serve = partial(serve, fleet=batch.take(rows), pace=pace, key=_key(method, frame))
        try:
            part = serve(frame.values[rows], season_lengths=seasons, horizon=horizon, levels=batch.levels, seed=seed)
        except ForeactError:
            raise
        except Exception as trouble:  # whatever a method raises, the other series must go on
            batch = _stood_in(batch, rows, f"{method.name} failed ({type(trouble).__name__}: {trouble})")
        else:
            batch = _put(batch, rows, part)
    return _within_nature(frame, batch)


def _key(method: Method, frame: Frame) -> str:
    """Return the name under which a model's pace is kept."""
    arguments = json.dumps(dict(method.arguments), sort_keys=True, default=str)
    return f"{method.name} {arguments} of {frame.step_s:g} s"


def rows_of_other_methods(frame: Frame, serving: MethodPerSeries) -> Ints:
    """Return the rows of a frame that another method than the fleet serves."""
    return np.array(sorted(row for _, rows in _by_method(frame, serving) for row in rows), dtype=np.intp)


def _by_method(frame: Frame, serving: MethodPerSeries) -> list[tuple[Method, list[int]]]:
    """Return the rows of each method that needs more than the fleet's forecast, by its name."""
    rows_by_method: list[tuple[Method, list[int]]] = []
    for row, series in enumerate(frame.series):
        method = serving.method_of(series)
        rows = next((rows for other, rows in rows_by_method if other == method), None)
        if rows is None:
            rows_by_method.append((method, [row]))
        else:
            rows.append(row)
    others = [(method, rows) for method, rows in rows_by_method if method.name not in FLEET or method.arguments]
    return sorted(others, key=lambda each: each[0].name)


def _misfit(frame: Frame, batch: ForecastBatch, rows: Sequence[int], wrong: str) -> ForecastBatch:
    """Say beside series that their method is configured wrongly, under the metric to look for."""
    for row in rows:
        batch = _stood_in(batch, [row], f"the method configured for {metric_of(frame.series[row])} is wrong: {wrong}")
    return batch


def _stood_in(batch: ForecastBatch, rows: Sequence[int], reason: str) -> ForecastBatch:
    """Say beside some series that the fleet's forecast stands in."""
    notes = list(batch.warnings)
    for row in rows:
        notes[row] = (*notes[row], f"{reason}; the fleet forecast is used instead")
    return replace(batch, warnings=tuple(notes))


def _told(frame: Frame, batch: ForecastBatch, changed_at: Ints | None) -> ForecastBatch:
    """Say beside each series whose history was aligned since when it counts in full."""
    if changed_at is None or not (changed_at >= 0).any():
        return batch
    notes = list(batch.warnings)
    for row in np.flatnonzero(changed_at >= 0).tolist():
        steps_ago = frame.values.shape[1] - 1 - int(changed_at[row])
        moment = frame.end - timedelta(seconds=frame.step_s * steps_ago)
        notes[row] = (
            *notes[row],
            f"level changed at {moment:%Y-%m-%d %H:%M} UTC; earlier history was moved toward the new level",
        )
    return replace(batch, warnings=tuple(notes))


def _within_nature(frame: Frame, batch: ForecastBatch) -> ForecastBatch:
    """Keep shares between 0 and 1: a `…_ratio` that never left them is one, and no trend takes it beyond."""
    with np.errstate(invalid="ignore"):
        lowest, highest = np.fmin.reduce(frame.values, axis=1), np.fmax.reduce(frame.values, axis=1)
    named = np.array([metric_of(series).endswith("_ratio") for series in frame.series], dtype=bool)
    rows = np.flatnonzero(named & (lowest >= 0) & (highest <= 1))
    if not len(rows):
        return batch
    point, quantiles, paths = batch.point.copy(), batch.quantiles.copy(), batch.scaled_paths.copy()
    point[rows], quantiles[rows] = np.clip(point[rows], 0, 1), np.clip(quantiles[rows], 0, 1)
    centre, scale = batch.centre[rows, None, None], batch.scale[rows, None, None]
    paths[rows] = np.clip(paths[rows], (0 - centre) / scale, (1 - centre) / scale)
    return replace(batch, point=point, quantiles=quantiles, scaled_paths=paths)


def _put(batch: ForecastBatch, rows: Sequence[int], part: ForecastBatch) -> ForecastBatch:
    """Return the batch with some rows replaced; paths are repeated to the number that the others have."""
    arrays = {name: getattr(batch, name).copy() for name in ("point", "quantiles", "centre", "scale", "scaled_paths")}
    tiled = np.arange(batch.scaled_paths.shape[1]) % part.scaled_paths.shape[1]
    for name, array in arrays.items():
        array[list(rows)] = getattr(part, name)[:, tiled] if name == "scaled_paths" else getattr(part, name)
    method, notes, refusals = list(batch.method), list(batch.warnings), list(batch.refusals)
    for place, row in enumerate(rows):
        method[row], notes[row], refusals[row] = part.method[place], part.warnings[place], part.refusals[place]
    return replace(batch, **arrays, method=tuple(method), warnings=tuple(notes), refusals=tuple(refusals))
