"""Forecasts as they were issued, read back to judge what happened against them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from storage.engine.array_codec import unpacked
from storage.engine.protocol import Engine, literal
from storage.forecasts import FORECAST_COLUMNS, forecast_of_row, wide_rows
from storage.records import Forecast


@dataclass(frozen=True)
class IssuedPaths:
    """Point forecasts of some series from several moments, cut to the same steps ahead.

    `issued_at` (n_origins,) ascends; `points` is (n_series, n_origins, steps), NaN where none was issued.
    """

    issued_at: tuple[datetime, ...]
    points: NDArray[np.float64]


class IssuedForecasts:
    """Questions about the `forecasts` table that measuring asks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def series_of(self, cycle_id: str) -> list[str]:
        """Return the series that a cycle forecast, by name."""
        sql = "SELECT series FROM forecasts WHERE cycle_id = $cycle_id AND refusal IS NULL ORDER BY series"
        return [series for (series,) in self._engine.rows(sql, {"cycle_id": cycle_id})]

    def steps_s(self, cycle_id: str, series: Sequence[str]) -> list[float]:
        """Return the steps in seconds at which a cycle forecast some series, each once."""
        sql = f"""SELECT DISTINCT step_s FROM forecasts WHERE cycle_id = $cycle_id AND refusal IS NULL
                  AND series IN ({", ".join(map(literal, series))})"""
        return [step_s for (step_s,) in self._engine.rows(sql, {"cycle_id": cycle_id})]

    def of(self, cycle_id: str, series: Sequence[str]) -> dict[str, Forecast]:
        """Return the forecasts that a cycle issued of some series, by series, refused ones left out."""
        if not series:
            return {}
        names = ", ".join(map(literal, series))
        sql = f"""SELECT {FORECAST_COLUMNS} FROM forecasts
                  WHERE cycle_id = $cycle_id AND refusal IS NULL AND series IN ({names})"""
        return {row[0]: forecast_of_row(row) for row in wide_rows(self._engine, sql, {"cycle_id": cycle_id})}

    def origins(self, series: str, step_s: float, since: datetime, before: datetime) -> list[datetime]:
        """Return when forecasts of a series at a step were issued within [since, before), oldest first."""
        sql = """SELECT DISTINCT issued_at FROM forecasts
                 WHERE series = $series AND step_s = $step_s AND refusal IS NULL
                   AND issued_at >= $since AND issued_at < $before ORDER BY issued_at"""
        params = {"series": series, "step_s": step_s, "since": since, "before": before}
        return [moment for (moment,) in self._engine.rows(sql, params)]

    def paths(
        self, series: Sequence[str], step_s: float, origins: Sequence[datetime], first_step: int, steps: int
    ) -> IssuedPaths:
        """Return the forecasts issued at `origins` (ascending), cut to `steps` steps from `first_step` (from 0) on."""
        points = np.full((len(series), len(origins), steps), np.nan)
        if not series or not origins:
            return IssuedPaths(tuple(origins), points)
        names, moments = (", ".join(map(literal, each)) for each in (series, origins))
        sql = f"""SELECT series, issued_at, point[$first:$last], centre, stretch FROM forecasts
                  WHERE series IN ({names}) AND issued_at IN ({moments}) AND step_s = $step_s AND refusal IS NULL"""
        rows = {name: place for place, name in enumerate(series)}
        columns = {moment: place for place, moment in enumerate(origins)}
        params = {"first": first_step + 1, "last": first_step + steps, "step_s": step_s}
        for name, moment, point, centre, stretch in wide_rows(self._engine, sql, params):
            points[rows[name], columns[moment], : len(point)] = unpacked(point, centre, stretch)
        return IssuedPaths(tuple(origins), points)
