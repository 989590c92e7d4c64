"""Forecasts as arrays, the breaches read off them, and the ledger of their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from storage.engine.array_codec import Packed, from_bytes, packed, span_of, stretch_of, to_bytes, unpacked
from storage.engine.protocol import Engine
from storage.fitted import FittedTable
from storage.open_predictions import open_predictions
from storage.records import Breach, Forecast, StatePrediction
from storage.state_predictions import StateTable
from storage.table import Clock, RecordTable, plain


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

    @property
    def matures_at(self) -> datetime:
        """Return the end of the last step."""
        return self.issued_at + timedelta(seconds=self.step_s * len(self.errors))


@dataclass(frozen=True)
class Spread:
    """What makes one forecast's error comparable with others': the scale of its series, and what was added.

    `offsets` (buckets × levels, in units of the scale) are those that were added to its quantiles; None: none were.
    """

    scale: float
    offsets: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class BreachResult:
    """What was foretold of an objective, and whether it happened."""

    cycle_id: str
    objective: str
    series: str
    probability: float
    raw_probability: float
    happened: bool


@dataclass(frozen=True)
class ForecastSteps:
    """The steps of a forecast."""

    issued_at: datetime
    step_s: float
    steps: int

    @property
    def end(self) -> datetime:
        """Return the end of the last step."""
        return self.issued_at + timedelta(seconds=self.step_s * self.steps)


@dataclass(frozen=True)
class Resolved:
    """Resolved forecasts as columns of equal length, one entry a forecast."""

    COLUMNS: ClassVar = (
        "series",
        "issued_at",
        "method",
        "levels",
        "point",
        "quantiles",
        "scale",
        "offsets",
        "errors",
        "overlapped",
    )
    columns: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(self.columns["series"])


FAR_RATIO = 1_000  # up to there single precision keeps a ten-thousandth of what a forecast moves by
FORECASTS_AT_ONCE = 1_000
"""So many are made ready for writing at once: more would stand in memory beside what they are made of."""
FORECAST_COLUMNS = (
    "series, issued_at, step_s, levels, point, band, quantiles, centre, stretch, method, warnings, refusal"
)


class ForecastTable:
    """The `forecasts`, `breaches`, `errors`, `breach_results` and `fitted` tables."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self.breaches = RecordTable(engine, clock, "breaches", Breach, first_by=("cycle_id",))
        self.states = StateTable(engine, clock)
        self.fitted = FittedTable(engine, clock)
        self._open = open_predictions(engine, "forecasts", "errors", marker="refusal", is_filled=False)

    def append(self, forecasts: Sequence[Forecast], cycle_id: str, spreads: Mapping[str, Spread] | None = None) -> None:
        """Record the forecasts of a cycle, once; `spreads` by series makes them count for calibration."""
        if forecasts and not self.has_cycle(cycle_id):
            self.append_new(forecasts, cycle_id, spreads or {})

    def append_new(self, forecasts: Sequence[Forecast], cycle_id: str, spreads: Mapping[str, Spread]) -> None:
        """Record the forecasts of a cycle that is known to have none yet."""
        now = self._clock()
        with self._engine.transaction():
            for start in range(0, len(forecasts), FORECASTS_AT_ONCE):
                some = forecasts[start : start + FORECASTS_AT_ONCE]
                self._engine.append("forecasts", _forecast_columns(some, cycle_id, now, spreads))

    def has_cycle(self, cycle_id: str) -> bool:
        """Tell whether a cycle's forecasts are recorded."""
        sql = "SELECT count(*) FROM forecasts WHERE cycle_id = $cycle_id"
        return bool(self._engine.rows(sql, {"cycle_id": cycle_id})[0][0])

    def of_cycle(self, cycle_id: str) -> list[Forecast]:
        """Return the forecasts of one cycle, by series."""
        sql = f"SELECT {FORECAST_COLUMNS} FROM forecasts WHERE cycle_id = $cycle_id ORDER BY series"
        return [forecast_of_row(row) for row in wide_rows(self._engine, sql, {"cycle_id": cycle_id})]

    def grids(self, cycle_id: str) -> dict[str, ForecastSteps]:
        """Return the steps of the forecasts of one cycle by series, refused ones left out."""
        sql = """SELECT series, issued_at, step_s, len(point) FROM forecasts
                 WHERE cycle_id = $cycle_id AND refusal IS NULL"""
        rows = self._engine.rows(sql, {"cycle_id": cycle_id})
        return {series: ForecastSteps(issued_at, step_s, steps) for series, issued_at, step_s, steps in rows}

    def latest_cycle(self) -> str | None:
        """Return the id of the newest cycle with forecasts."""
        sql = "SELECT arg_max(cycle_id, issued_at) FROM forecasts"
        newest: str | None = self._engine.recall(("forecasts",), "latest cycle", lambda: self._engine.rows(sql))[0][0]
        return newest

    def cycle_before(self, moment: datetime) -> tuple[str, datetime] | None:
        """Return the id of the newest cycle with forecasts issued at or before a moment, and when they were issued."""
        sql = """SELECT cycle_id, issued_at FROM forecasts WHERE issued_at <= $moment AND refusal IS NULL
                 ORDER BY issued_at DESC LIMIT 1"""
        rows = self._engine.rows(sql, {"moment": moment})
        return (rows[0][0], rows[0][1]) if rows else None

    def before(self, series: str, moment: datetime) -> tuple[str, Forecast] | None:
        """Return the newest forecast of a series issued at or before a moment, with its cycle."""
        sql = f"""SELECT cycle_id, {FORECAST_COLUMNS} FROM forecasts
                  WHERE series = $series AND issued_at <= $moment AND refusal IS NULL
                  ORDER BY issued_at DESC LIMIT 1"""
        rows = self._engine.rows(sql, {"series": series, "moment": moment})
        return (rows[0][0], forecast_of_row(rows[0][1:])) if rows else None

    def unresolved(self, matured_before: datetime, limit: int) -> list[tuple[str, Forecast]]:
        """Return forecasts whose last step lies before a moment and which have no error row, oldest first.

        They are resolved in the order in which they mature, and with them all that mature at the same moment: so none
        lies behind the newest that is resolved. About `limit` of them are returned.
        """
        known = self._engine.follow(self._open, matured_before)
        if not known.due(matured_before):
            return []
        sql = f"""SELECT cycle_id, {FORECAST_COLUMNS}, matures_at FROM forecasts
                  WHERE matures_at > $newest AND matures_at <= $until AND refusal IS NULL
                  ORDER BY matures_at, cycle_id, series"""
        params = {"newest": known.newest, "until": matured_before, "limit": limit}
        rows = wide_rows(self._engine, f"{sql} LIMIT $limit", params)
        if len(rows) == limit:
            rows = wide_rows(self._engine, sql, params | {"until": rows[-1][-1]})
        return [(row[0], forecast_of_row(row[1:-1])) for row in rows]

    def append_errors(self, errors: Sequence[ForecastError]) -> None:
        """Add resolved forecasts to the ledger."""
        if not errors:
            return
        stretches = [stretch_of(span_of(e.errors)) for e in errors]
        self._engine.append(
            "errors",
            {
                "cycle_id": [e.cycle_id for e in errors],
                "recorded_at": [self._clock()] * len(errors),
                "series": [e.series for e in errors],
                "issued_at": [e.issued_at for e in errors],
                "step_s": [e.step_s for e in errors],
                "errors": [packed(e.errors, 0.0, stretch) for e, stretch in zip(errors, stretches, strict=True)],
                "stretch": stretches,
                "covered_ratio": [e.covered_ratio for e in errors],
                "overlapped": [e.overlapped for e in errors],
                "matures_at": [e.matures_at for e in errors],
            },
        )

    def errors(self, series: str | None, step_s: float | None, limit: int) -> list[ForecastError]:
        """Return the newest ledger rows, newest first; None means any series or step."""
        sql = """SELECT cycle_id, series, issued_at, step_s, errors, stretch, covered_ratio, overlapped FROM errors
                 WHERE ($series IS NULL OR series = $series) AND ($step_s IS NULL OR step_s = $step_s)
                 ORDER BY issued_at DESC LIMIT $limit"""
        rows = self._engine.rows(sql, {"series": series, "step_s": step_s, "limit": limit})
        return [
            ForecastError(cycle, series, issued_at, step, unpacked(stored, 0.0, stretch), covered, bool(overlapped))
            for cycle, series, issued_at, step, stored, stretch, covered, overlapped in rows
        ]

    def resolved_at(self, step_s: float, since: datetime) -> list[datetime]:
        """Return when forecasts at a step were issued that are resolved by now, oldest first."""
        sql = """SELECT DISTINCT issued_at FROM errors WHERE step_s = $step_s AND issued_at >= $since
                 ORDER BY issued_at"""
        return [moment for (moment,) in self._engine.rows(sql, {"step_s": step_s, "since": since})]

    def resolved(self, step_s: float, horizon: int, moments: Sequence[datetime], series: Sequence[str]) -> Resolved:
        """Return what became of the forecasts of some series that were issued at some moments."""
        if not moments or not series:
            return Resolved(dict.fromkeys(Resolved.COLUMNS, ()))
        sql = """SELECT series, e.issued_at, method, levels, point, quantiles, scale, offsets, errors, overlapped,
                         f.band, f.centre, f.stretch, e.stretch
                  FROM errors e
                  JOIN (SELECT cycle_id, series, method, levels, point, quantiles, band, centre, stretch, scale, offsets
                        FROM forecasts
                        WHERE step_s = $step_s AND issued_at IN (SELECT unnest($moments))
                          AND series IN (SELECT unnest($series)) AND len(point) = $horizon AND scale IS NOT NULL) f
                    USING (cycle_id, series)
                  WHERE e.issued_at IN (SELECT unnest($moments)) AND e.series IN (SELECT unnest($series))"""
        params = {"step_s": step_s, "horizon": horizon, "moments": list(moments), "series": list(series)}
        rows = [_resolved_of_row(row) for row in wide_rows(self._engine, sql, params)]
        columns = zip(*rows, strict=True) if rows else [[]] * len(Resolved.COLUMNS)
        return Resolved(dict(zip(Resolved.COLUMNS, map(list, columns), strict=True)))

    def coverage(self, last: int) -> tuple[float | None, int]:
        """Return the share of observations inside the 90 % interval over the last resolved forecasts."""
        sql = """SELECT avg(covered_ratio), count(*) FROM
                   (SELECT covered_ratio FROM errors WHERE NOT overlapped AND NOT isnan(covered_ratio)
                    ORDER BY issued_at DESC LIMIT $last)"""
        rows = self._engine.recall(("errors",), ("coverage", last), lambda: self._engine.rows(sql, {"last": last}))
        share, count = rows[0]
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
        return self._engine.recall(
            ("breach_results",), ("breach results", last), lambda: self._engine.columns(sql, {"last": last})
        )

    def state(self, cycle_id: str) -> StatePrediction | None:
        """Return the predicted overall state of a cycle."""
        return self.states.get(cycle_id)


def wide_rows(engine: Engine, sql: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Return rows with lists of numbers as arrays: a third of the time that lists of Python's numbers take."""
    columns = [plain(column) for column in engine.columns(sql, params).values()]
    return list(zip(*columns, strict=True))


def forecast_of_row(row: tuple[Any, ...]) -> Forecast:
    """Return the forecast of a row of `FORECAST_COLUMNS`."""
    series, issued_at, step_s, levels, point, band, listed, centre, stretch, method, warnings, refusal = row
    return Forecast(
        series=series,
        issued_at=issued_at,
        step_s=step_s,
        levels=tuple(round(float(level), 4) for level in levels),
        point=unpacked(point, centre, stretch),
        quantiles=unpacked(_stored(band, listed, point, levels), centre, stretch).reshape(len(point), len(levels)),
        method=method,
        warnings=() if warnings is None else tuple(warnings),
        refusal=refusal,
    )


def _forecast_columns(
    forecasts: Sequence[Forecast], cycle_id: str, now: datetime, spreads: Mapping[str, Spread]
) -> dict[str, Any]:
    matures_at = [f.issued_at + timedelta(seconds=f.step_s * len(f.point)) for f in forecasts]
    known = [spreads.get(f.series) for f in forecasts]
    spans = [span_of(f.quantiles) for f in forecasts]
    centres = [_centre(f, span) for f, span in zip(forecasts, spans, strict=True)]
    stretches = [stretch_of(span, centre) for span, centre in zip(spans, centres, strict=True)]
    parts = list(zip(forecasts, centres, stretches, strict=True))
    return {
        "cycle_id": [cycle_id] * len(forecasts),
        "recorded_at": [now] * len(forecasts),
        "series": [f.series for f in forecasts],
        "issued_at": [f.issued_at for f in forecasts],
        "step_s": [f.step_s for f in forecasts],
        "levels": [np.asarray(f.levels, dtype=np.float32) for f in forecasts],
        "point": [packed(f.point, centre, stretch) for f, centre, stretch in parts],
        "band": [to_bytes(_without_point(f, centre, stretch)) for f, centre, stretch in parts],
        "centre": centres,
        "stretch": stretches,
        "method": [f.method for f in forecasts],
        "warnings": [list(f.warnings) for f in forecasts],
        "refusal": [f.refusal for f in forecasts],
        "matures_at": matures_at,
        "scale": [spread.scale if spread else None for spread in known],
        "offsets": [
            np.asarray(spread.offsets, dtype=np.float32).ravel() if spread and spread.offsets is not None else None
            for spread in known
        ],
    }


def _without_point(forecast: Forecast, centre: float, stretch: float) -> Packed:
    """Return quantiles as they are stored: without the median where it is the point, which has a column of its own."""
    rows = packed(forecast.quantiles, centre, stretch).reshape(forecast.quantiles.shape)
    middle = _middle(forecast.levels)
    if middle is None or not np.array_equal(rows[:, middle], packed(forecast.point, centre, stretch), equal_nan=True):
        return rows.ravel()
    return np.delete(rows, middle, axis=1).ravel()


def _middle(levels: Sequence[float]) -> int | None:
    """Return which of some levels, two or more, is the median."""
    return next((place for place, level in enumerate(levels) if level == 0.5 and len(levels) > 1), None)


def _stored(
    band: bytes | None, listed: Sequence[float] | Packed | None, point: Sequence[float], levels: Sequence[float]
) -> Sequence[float] | Packed:
    """Return the quantiles of a row, flat: from its bytes, or from the list in which they were kept before."""
    if band is None:
        return listed if listed is not None else ()
    found, middle = from_bytes(band), _middle(levels)
    if middle is None or len(found) == len(point) * len(levels):
        return found
    rows = np.empty((len(point), len(levels)), dtype=np.float32)
    others = found.reshape(len(point), len(levels) - 1)
    rows[:, :middle], rows[:, middle], rows[:, middle + 1 :] = others[:, :middle], point, others[:, middle:]
    return rows.ravel()


def _centre(forecast: Forecast, span: tuple[float, float]) -> float:
    """Return the value around which a forecast is stored: its first where that dwarfs all it moves by, or else 0.

    Around 0 figures of a usual level share their leading digits, and take a seventh less room on disk.
    """
    first = float(forecast.point[0]) if len(forecast.point) else 0.0
    is_far = np.isfinite(first) and abs(first) > FAR_RATIO * stretch_of(span, first)
    return first if is_far else 0.0


def _resolved_of_row(row: tuple[Any, ...]) -> tuple[Any, ...]:
    *plain, band, centre, stretch, error_stretch = row
    found = dict(zip(Resolved.COLUMNS, plain, strict=True))
    quantiles = _stored(band, found["quantiles"], found["point"], found["levels"])
    found["quantiles"] = unpacked(quantiles, centre, stretch)
    found["point"] = unpacked(found["point"], centre, stretch)
    found["errors"] = unpacked(found["errors"], 0.0, error_stretch)
    return tuple(found.values())
