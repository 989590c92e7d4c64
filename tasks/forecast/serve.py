"""Which forecaster serves which series: one for the fleet, another where the configuration names it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from storage.records import Frame, metric_of
from tasks.forecast.batch import ForecastBatch
from tasks.forecast.fleet import forecast_batch
from tasks.forecast.forecasters import get

FLEET = ("fleet", "ensemble")


@dataclass(frozen=True)
class Serving:
    """The default method, others by series or metric, and the arguments of each method that takes any."""

    default: str = "ensemble"
    per_metric: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def method_of(self, series: str) -> str:
        """Return the method that serves a series: its own, its metric's, or the default."""
        return self.per_metric.get(series, self.per_metric.get(metric_of(series), self.default))


def forecast_frame(frame: Frame, serving: Serving, horizon: int, seed: int) -> ForecastBatch:
    """Forecast every series of a frame by the method that serves it, as one batch with a common path index.

    The fleet forecasts all of them first: what another method cannot forecast keeps that, with a warning. Raises
    `unknown_forecaster` and what the forecaster's file raises for arguments that it does not take.
    """
    batch = forecast_batch(frame.values, season_lengths=frame.season_lengths, horizon=horizon, seed=seed)
    methods = [serving.method_of(series) for series in frame.series]
    for method in sorted(set(methods) - set(FLEET)):
        rows = [row for row, served in enumerate(methods) if served == method]
        part = get(method, serving.arguments.get(method))(
            frame.values[rows],
            season_lengths=frame.season_lengths,
            horizon=horizon,
            levels=batch.levels,
            seed=seed,
        )
        batch = _put(batch, rows, part)
    return _within_nature(frame, batch)


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
