"""Forecasts as arrays, the breaches read off them, and the ledger of their errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.engine import Engine
from storage.records import Breach, Forecast, StatePrediction
from storage.table import Clock, RecordTable


@dataclass(frozen=True)
class ForecastError:
    """One resolved forecast: observed minus point per step, NaN where nothing was observed."""

    cycle_id: str
    series: str
    issued_at: datetime
    step_s: float
    errors: NDArray[np.float64]
    covered_ratio: float
    overlapped: bool


@dataclass(frozen=True)
class BreachResult:
    """What was foretold of an objective, and whether it happened."""

    cycle_id: str
    objective: str
    series: str
    probability: float
    raw_probability: float
    happened: bool


_COLUMNS = "series, issued_at, step_s, levels, point, quantiles, method, warnings, refusal"


class Forecasts:
    """The `forecasts`, `breaches`, `states`, `errors` and `breach_results` tables."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        keys = {"objective": "objective", "series": "series"}
        self.breaches = RecordTable(engine, clock, "breaches", Breach, keys)
        self._states = RecordTable(engine, clock, "states", StatePrediction, {})

    def append(self, forecasts: Sequence[Forecast], cycle_id: str) -> None:
        """Record the forecasts of a cycle, once."""
        if not forecasts or self.has_cycle(cycle_id):
            return
        now = self._clock()
        self._engine.append(
            "forecasts",
            {
                "cycle_id": [cycle_id] * len(forecasts),
                "recorded_at": [now] * len(forecasts),
                "series": [f.series for f in forecasts],
                "issued_at": [f.issued_at for f in forecasts],
                "step_s": [f.step_s for f in forecasts],
                "levels": [np.asarray(f.levels, dtype=np.float32) for f in forecasts],
                "point": [np.asarray(f.point, dtype=np.float32) for f in forecasts],
                "quantiles": [np.asarray(f.quantiles, dtype=np.float32).ravel() for f in forecasts],
                "method": [f.method for f in forecasts],
                "warnings": [list(f.warnings) for f in forecasts],
                "refusal": [f.refusal for f in forecasts],
            },
        )

    def has_cycle(self, cycle_id: str) -> bool:
        """Tell whether a cycle's forecasts are recorded."""
        sql = "SELECT count(*) FROM forecasts WHERE cycle_id = $cycle_id"
        return bool(self._engine.rows(sql, {"cycle_id": cycle_id})[0][0])

    def of_cycle(self, cycle_id: str) -> list[Forecast]:
        """Return the forecasts of one cycle, by series."""
        sql = f"SELECT {_COLUMNS} FROM forecasts WHERE cycle_id = $cycle_id ORDER BY series"
        return [_forecast(row) for row in self._engine.rows(sql, {"cycle_id": cycle_id})]

    def latest_cycle(self) -> str | None:
        """Return the id of the newest cycle with forecasts."""
        rows = self._engine.rows("SELECT arg_max(cycle_id, issued_at) FROM forecasts")
        return rows[0][0] if rows else None

    def before(self, series: str, moment: datetime) -> tuple[str, Forecast] | None:
        """Return the newest forecast of a series issued at or before a moment, with its cycle."""
        sql = f"""SELECT cycle_id, {_COLUMNS} FROM forecasts
                  WHERE series = $series AND issued_at <= $moment AND refusal IS NULL
                  ORDER BY issued_at DESC LIMIT 1"""
        rows = self._engine.rows(sql, {"series": series, "moment": moment})
        return (rows[0][0], _forecast(rows[0][1:])) if rows else None

    def unresolved(self, matured_before: datetime, limit: int) -> list[tuple[str, Forecast]]:
        """Return forecasts whose last step lies before a moment and which have no error row, oldest first."""
        sql = f"""SELECT f.cycle_id, {", ".join("f." + c.strip() for c in _COLUMNS.split(","))} FROM forecasts f
                  ANTI JOIN errors e ON e.cycle_id = f.cycle_id AND e.series = f.series
                  WHERE f.refusal IS NULL
                    AND f.issued_at + to_seconds(f.step_s * len(f.point)) <= $moment
                  ORDER BY f.issued_at, f.series LIMIT $limit"""
        rows = self._engine.rows(sql, {"moment": matured_before, "limit": limit})
        return [(row[0], _forecast(row[1:])) for row in rows]

    def append_errors(self, errors: Sequence[ForecastError]) -> None:
        """Add resolved forecasts to the ledger."""
        if not errors:
            return
        self._engine.append(
            "errors",
            {
                "cycle_id": [e.cycle_id for e in errors],
                "recorded_at": [self._clock()] * len(errors),
                "series": [e.series for e in errors],
                "issued_at": [e.issued_at for e in errors],
                "step_s": [e.step_s for e in errors],
                "errors": [e.errors.astype(np.float32) for e in errors],
                "covered_ratio": [e.covered_ratio for e in errors],
                "overlapped": [e.overlapped for e in errors],
            },
        )

    def errors(self, series: str | None, step_s: float | None, limit: int) -> list[ForecastError]:
        """Return the newest ledger rows, newest first; None means any series or step."""
        sql = """SELECT cycle_id, series, issued_at, step_s, errors, covered_ratio, overlapped FROM errors
                 WHERE ($series IS NULL OR series = $series) AND ($step_s IS NULL OR step_s = $step_s)
                 ORDER BY issued_at DESC LIMIT $limit"""
        rows = self._engine.rows(sql, {"series": series, "step_s": step_s, "limit": limit})
        return [ForecastError(c, s, i, st, np.asarray(e, float), cov, bool(o)) for c, s, i, st, e, cov, o in rows]

    def coverage(self, last: int) -> tuple[float | None, int]:
        """Return the share of observations inside the 90 % interval over the last resolved forecasts."""
        sql = """SELECT avg(covered_ratio), count(*) FROM
                   (SELECT covered_ratio FROM errors WHERE NOT overlapped AND NOT isnan(covered_ratio)
                    ORDER BY issued_at DESC LIMIT $last)"""
        share, count = self._engine.rows(sql, {"last": last})[0]
        return share, int(count)

    def append_breach_results(self, results: Sequence[BreachResult]) -> None:
        """Record what became of foretold breaches."""
        columns: dict[str, list[Any]] = {
            "cycle_id": [r.cycle_id for r in results],
            "recorded_at": [self._clock()] * len(results),
            "objective": [r.objective for r in results],
            "series": [r.series for r in results],
            "probability": [r.probability for r in results],
            "raw_probability": [r.raw_probability for r in results],
            "happened": [r.happened for r in results],
        }
        if results:
            self._engine.append("breach_results", columns)

    def breach_results(self, last: int) -> dict[str, np.ndarray[Any, Any]]:
        """Return the newest resolved breach forecasts as columns."""
        sql = """SELECT probability, raw_probability, happened FROM breach_results
                 ORDER BY recorded_at DESC LIMIT $last"""
        return self._engine.columns(sql, {"last": last})

    def append_state(self, state: StatePrediction, cycle_id: str) -> None:
        """Record the predicted overall state of a cycle."""
        sql = "INSERT INTO states VALUES ($cycle_id, $now, $body) ON CONFLICT DO NOTHING"
        body = state.model_dump_json()
        self._engine.rows(sql, {"cycle_id": cycle_id, "now": self._clock(), "body": body})

    def state(self, cycle_id: str) -> StatePrediction | None:
        """Return the predicted overall state of a cycle."""
        found = self._states.select("WHERE cycle_id = $cycle_id", {"cycle_id": cycle_id})
        return found[0] if found else None

    def prune(self, before: datetime) -> None:
        """Forget forecasts and their errors older than a moment."""
        for table in ("forecasts", "errors"):
            self._engine.rows(f"DELETE FROM {table} WHERE issued_at < $before", {"before": before})


def _forecast(row: tuple[Any, ...]) -> Forecast:
    series, issued_at, step_s, levels, point, quantiles, method, warnings, refusal = row
    return Forecast(
        series=series,
        issued_at=issued_at,
        step_s=step_s,
        levels=tuple(round(float(level), 4) for level in levels),
        point=np.asarray(point, dtype=float),
        quantiles=np.asarray(quantiles, dtype=float).reshape(len(point), len(levels)),
        method=method,
        warnings=tuple(warnings or ()),
        refusal=refusal,
    )
