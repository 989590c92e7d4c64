"""From forecasts to what is shown of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np

from api.facade import Facade
from api.models.agent import Prediction
from api.models.forecasts import Calibration, PredictedState, Predictions, ReliabilityBin, SeriesForecast
from storage.errors import ForeactError
from storage.records import Breach, FloatArray, Forecast, StatePrediction
from storage.samples import SeriesInfo
from tasks.drivers.in_force import breaches_in_force
from tasks.reliability import Reliability, reliability
from tasks.text import span

LEVELS = (0.05, 0.95)
NEEDED_SAMPLES = 30
BAND_DIGITS = 4
MOST_PLACES = 22
"""Beyond these a power of ten is no exact double, and numpy would not round to the shortest number."""
NO_STATE = PredictedState(
    state="unknown", probability=None, probabilities={}, at=None, reason="There is no forecast yet."
)
NO_CYCLE_NOTE = "No cycle has run yet; POST /api/autonomous/analysis/trigger starts one now."


def cut_to_horizon(
    horizon_hours: float,
    cycle_id: str | None,
    forecasts: Sequence[SeriesForecast],
    *,
    breaches: Sequence[Breach],
    state: StatePrediction | None,
    calibration: Calibration,
    no_forecast: str,
) -> Predictions:
    """Show the forecasts of one cycle, cut to a horizon; `no_forecast` says what to do where there are none."""
    reach_s = max((f.step_seconds * len(f.point) for f in forecasts), default=0.0)
    available_hours = round(reach_s / 3_600, 4)
    note = _reach_note(horizon_hours, available_hours) if cycle_id else no_forecast
    first = next((f for f in forecasts if f.timestamps), None)
    return Predictions(
        horizon_hours=horizon_hours,
        available_hours=available_hours,
        cycle_id=cycle_id,
        issued_at=first.timestamps[0] - timedelta(seconds=first.step_seconds) if first else None,
        predicted_state=predicted_state(state),
        breaches=sorted(breaches, key=lambda b: (-b.probability, b.objective, b.series)),
        series=[cut(forecast, horizon_hours * 3_600) for forecast in forecasts],
        calibration=calibration,
        note=note,
    )


def series_forecast(forecast: Forecast, unit: str = "") -> SeriesForecast:
    """Show one forecast as far as it reaches."""
    steps = 0 if forecast.refusal else len(forecast.point)
    low, high = (_level(forecast, level)[:steps] for level in LEVELS)
    places = _places(low, high)
    return SeriesForecast.model_construct(
        series=forecast.series,
        unit=unit,
        method=forecast.method,
        step_seconds=forecast.step_s,
        timestamps=_ends(forecast.issued_at, forecast.step_s, steps),
        point=_plain(forecast.point[:steps], places),
        low=_plain(low, places),
        high=_plain(high, places),
        warnings=list(forecast.warnings),
        refusal=forecast.refusal,
    )


@lru_cache(maxsize=8)
def _ends(issued_at: datetime, step_s: float, steps: int) -> list[datetime]:
    """Return the ends of the steps: one list for all series of a cycle, which nobody changes."""
    step = timedelta(seconds=step_s)
    return [issued_at + step * (number + 1) for number in range(steps)]


def cut(forecast: SeriesForecast, horizon_s: float) -> SeriesForecast:
    """Return a forecast up to a horizon."""
    steps = int(horizon_s / forecast.step_seconds + 1e-9)
    if steps >= len(forecast.point):
        return forecast
    kept = {name: getattr(forecast, name)[:steps] for name in ("timestamps", "point", "low", "high")}
    return forecast.model_copy(update=kept)


def predicted_state(state: StatePrediction | None) -> PredictedState:
    """Show the predicted overall state with its probability."""
    if state is None:
        return NO_STATE
    return PredictedState(
        state=state.state,
        probability=state.probabilities.get(state.state),
        probabilities=dict(state.probabilities),
        at=state.at,
        reason=state.reason,
    )


def prediction(state: PredictedState) -> Prediction:
    """Show the predicted state as the report has it."""
    return Prediction(predicted_state=state.state, **state.model_dump(exclude={"state"}))


def sum_up(
    coverage: float | None, resolved: int, breaches: Mapping[str, Any], states: Mapping[str, Any] | None = None
) -> Calibration:
    """Sum up how past forecasts turned out; a Brier score is the mean squared error of a probability.

    `breaches` and `states` are columns of what was foretold and what came.
    """
    broken = _reliability(breaches["probability"], np.asarray(breaches["happened"], dtype=float))
    came = np.asarray(states["came"], dtype=str) if states else np.empty(0, dtype=str)
    worse = _reliability(states["unhealthy"] if states else (), (came != "healthy").astype(float))
    return Calibration(
        coverage_90=coverage,
        resolved_forecasts=resolved,
        breach_brier=_or_none(broken.brier),
        resolved_breaches=broken.forecasts,
        breach_auc=_or_none(broken.auc),
        breach_reliability=_bins(broken),
        state_brier=_or_none(worse.brier),
        resolved_states=worse.forecasts,
        state_reliability=_bins(worse),
    )


def _reliability(foretold: Any, happened: FloatArray) -> Reliability:
    return reliability(np.asarray(foretold, dtype=float), happened)


def _bins(curve: Reliability) -> list[ReliabilityBin]:
    """Return the bins that hold forecasts."""
    return [
        ReliabilityBin(foretold=round(float(p), 4), happened=round(float(y), 4), count=int(count))
        for p, y, count in zip(curve.foretold, curve.happened, curve.counts, strict=True)
        if count
    ]


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


def no_forecast_note(spans: Sequence[SeriesInfo], analysis_interval_s: float) -> str:
    """Say what is missing for a first forecast, and how to get it."""
    if not spans:
        return (
            "No forecast yet: nothing is recorded. POST /api/autonomous/metrics or enable the host sampler; "
            f"{NEEDED_SAMPLES} samples of a metric are enough."
        )
    best = max(spans, key=lambda info: info.count)
    if best.count < NEEDED_SAMPLES:
        missing = NEEDED_SAMPLES - best.count
        wait = f"; about {span(missing * best.interval_s)}" if best.interval_s else ""
        return f"No forecast yet: {NEEDED_SAMPLES} samples are needed, {best.count} so far{wait}."
    return (
        f"No forecast yet: {best.series} has {best.count} samples, which is enough. The next cycle comes within "
        f"{span(analysis_interval_s)}; POST /api/autonomous/analysis/trigger starts one now."
    )


def _reach_note(horizon_hours: float, available_hours: float) -> str | None:
    if available_hours >= horizon_hours * 0.999:
        return None
    if available_hours == 0:
        return "No series could be forecast yet; each gives its reason."
    return (
        f"The history supports forecasts {span(available_hours * 3_600)} ahead, less than the "
        f"{span(horizon_hours * 3_600)} requested; this grows with the history."
    )


def _level(forecast: Forecast, level: float) -> FloatArray:
    """Return one quantile over the steps: the nearest level that the forecast has."""
    nearest = min(range(len(forecast.levels)), key=lambda i: abs(forecast.levels[i] - level))
    values: FloatArray = forecast.quantiles[:, nearest]
    return values


def _places(low: FloatArray, high: FloatArray) -> int | None:
    """Return to how many decimal places a band is shown: four digits of its narrowest step, None for all there are.

    More would be noise, and a third more to send; fewer of a narrow band around a high level would lose the band.
    """
    widths = high - low
    narrowest = float(np.min(widths[widths > 0], initial=np.inf))
    if not np.isfinite(narrowest):
        return None
    places = BAND_DIGITS - 1 - math.floor(math.log10(narrowest))
    return places if abs(places) <= MOST_PLACES else None


def _plain(values: FloatArray, places: int | None) -> list[float]:
    """Return floats rounded to some decimal places; negative ones are digits before the point."""
    rounded: list[float] = (values if places is None else np.round(values.astype(np.float64), places)).tolist()
    return rounded


SPAN_FOR_NOTES = timedelta(days=1)
CALIBRATION_LAST = 500
MOST_SERIES_KEPT = 300


def predictions(facade: Facade, horizon_hours: float, series: str | None = None) -> Predictions:
    """Return the forecasts of the newest cycle, cut to a horizon."""
    newest = foreseen(facade)
    shown = [f for f in newest.series if series is None or f.series == series]
    if series is not None and newest.series and not shown:
        remedy = "GET /api/autonomous/predictions lists the series that are forecast."
        raise ForeactError("series_unknown", f"There is no forecast of {series}.", remedy, status=404)
    return cut_to_horizon(
        horizon_hours,
        newest.cycle_id,
        shown,
        breaches=[b for b in newest.breaches if series is None or b.series == series],
        state=newest.state,
        calibration=calibration(facade),
        no_forecast="" if newest.cycle_id else _no_forecast(facade),
    )


@dataclass(frozen=True)
class Foreseen:
    """What the newest cycle with forecasts foresees; all empty before the first."""

    cycle_id: str | None
    series: list[SeriesForecast]
    breaches: list[Breach]
    state: StatePrediction | None


def foreseen(facade: Facade) -> Foreseen:
    """Return what the newest cycle foresees, from memory unless it is of very many series."""
    store = facade.store

    def read() -> Foreseen:
        cycle_id = store.forecasts.latest_cycle()
        return Foreseen(None, [], [], None) if cycle_id is None else foreseen_by(facade, cycle_id)

    if len(store.samples.known()) > MOST_SERIES_KEPT:
        return read()
    return store.engine.recall(("forecasts", "series", "breaches", "facts", "states"), "foreseen", read)


def foreseen_by(facade: Facade, cycle_id: str) -> Foreseen:
    """Return what one cycle foresaw; all empty where it forecast nothing, or that is no longer kept."""
    store = facade.store
    units = {info.series: info.unit for info in store.samples.known()}
    return Foreseen(
        cycle_id,
        [series_forecast(f, units.get(f.series, "")) for f in store.forecasts.of_cycle(cycle_id)],
        list(breaches_in_force(store, cycle_id)),
        store.forecasts.state(cycle_id),
    )


def calibration(facade: Facade) -> Calibration:
    """Sum up how the newest resolved forecasts turned out."""
    ledger = facade.store.forecasts

    def read() -> Calibration:
        broken, states = ledger.breach_results(CALIBRATION_LAST), ledger.states.results(CALIBRATION_LAST)
        return sum_up(*ledger.coverage(CALIBRATION_LAST), broken, states)

    return facade.store.engine.recall(("errors", "breach_results", "state_results"), "calibration", read)


def _no_forecast(facade: Facade) -> str:
    now = facade.clock()
    spans = facade.store.samples.spans(now - SPAN_FOR_NOTES, now)
    return no_forecast_note(spans, facade.in_force.analysis_interval_s)
