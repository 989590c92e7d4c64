"""The forecast stage: quantiles, joint paths, breaches and the overall state; the ledger of past errors grows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from storage.forecasts import BreachResult, ForecastError
from storage.records import NOTHING, Breach, Forecast, Frame, Objective, ReceiptStatus
from tasks.context import Context
from tasks.forecast import ForecastBatch, Recalibration, fit_recalibration
from tasks.forecast.acts import passing_touches
from tasks.forecast.outlook import Outlook, breaches_of, forecasts_of, predicted_state
from tasks.forecast.serve import Serving, forecast_frame
from tasks.forecast.untouched import untouched
from tasks.stage import stage

RESOLVED_PER_TURN = 500
RECALIBRATED_ON = 2_000

Acts = list[tuple[str | None, datetime]]


def _summary(outlook: Outlook) -> Mapping[str, Any]:
    return {
        "forecasts": sum(forecast.refusal is None for forecast in outlook.forecasts),
        "refusals": sum(forecast.refusal is not None for forecast in outlook.forecasts),
        "likely_breaches": sum(breach.probability >= 0.5 for breach in outlook.breaches),
        "state": outlook.state.state,
    }


@stage("forecast", _summary)
def forecast(context: Context, frames: tuple[Frame, ...]) -> Outlook:
    """Forecast every window, read each objective off the joint paths, and settle forecasts that matured."""
    objectives = context.objectives()
    recalibration = _recalibration(context)
    touches = passing_touches(context)
    batches = tuple(_forecast(context, untouched(frame, touches)) for frame in frames)
    forecasts = [each for frame, batch in zip(frames, batches, strict=True) for each in forecasts_of(frame, batch)]
    breaches = [
        each
        for frame, batch in zip(frames, batches, strict=True)
        for each in breaches_of(frame, batch, objectives, recalibration)
    ]
    state = predicted_state(frames, batches, objectives, context.tick)
    context.store.forecasts.append(forecasts, context.cycle_id)
    context.store.forecasts.breaches.append(breaches, context.cycle_id)
    context.store.forecasts.append_state(state, context.cycle_id)
    settle(context)
    return Outlook(frames, batches, tuple(forecasts), tuple(breaches), state)


def _forecast(context: Context, frame: Frame) -> ForecastBatch:
    options = context.settings.forecasting.forecaster
    serving = Serving(options.default_method, options.per_metric, options.arguments)
    return forecast_frame(frame, serving, options.horizon_steps, context.cycle.seed)


def _recalibration(context: Context) -> Recalibration:
    """Return the curve that past breach forecasts and what became of them call for."""
    past = context.store.forecasts.breach_results(RECALIBRATED_ON)
    foretold, happened = np.asarray(past["raw_probability"], float), np.asarray(past["happened"], float)
    return fit_recalibration(foretold, happened)


def settle(context: Context) -> None:
    """Compare forecasts whose whole horizon has passed with what was observed.

    The breaches of a series are settled with its forecast: horizons of series differ, as their steps do.
    """
    matured = context.store.forecasts.unresolved(context.tick, RESOLVED_PER_TURN)
    if not matured:
        return
    acts = _acts(context, min(forecast.issued_at for _, forecast in matured))
    errors = [_error(context, cycle_id, forecast, acts) for cycle_id, forecast in matured]
    foretold = {
        cycle_id: context.store.forecasts.breaches.select("WHERE cycle_id = $cycle_id", {"cycle_id": cycle_id})
        for cycle_id in {cycle_id for cycle_id, _ in matured}
    }
    results = [
        each
        for cycle_id, forecast in matured
        for each in _breach_results(context, cycle_id, forecast, foretold[cycle_id], acts)
    ]
    with context.store.transaction():
        context.store.forecasts.append_errors(errors)
        context.store.forecasts.append_breach_results(results)


def _acts(context: Context, since: datetime) -> Acts:
    """Return series and moment of all that touched something since a moment, undos included."""
    return [
        (view.action.series, view.receipt.finished_at)
        for view in context.store.actions.finished(since)
        if view.receipt
        and view.receipt.status not in {ReceiptStatus.SKIPPED, ReceiptStatus.DRY_RUN}
        and view.action.name != NOTHING
    ]


def _is_touched(acts: Acts, forecast: Forecast, until: datetime) -> bool:
    return any(series == forecast.series and forecast.issued_at < at <= until for series, at in acts)


def _observed(context: Context, forecast: Forecast) -> np.ndarray[Any, Any]:
    steps = len(forecast.point)
    end = forecast.issued_at + timedelta(seconds=forecast.step_s * steps)
    frame = context.store.samples.frame([forecast.series], end, forecast.step_s, steps)
    observed: np.ndarray[Any, Any] = frame.values[0]
    return observed


def _error(context: Context, cycle_id: str, forecast: Forecast, acts: Acts) -> ForecastError:
    observed = _observed(context, forecast)
    low, high = forecast.quantiles[:, 0], forecast.quantiles[:, -1]
    seen = np.isfinite(observed)
    inside = (observed >= low) & (observed <= high)
    return ForecastError(
        cycle_id=cycle_id,
        series=forecast.series,
        issued_at=forecast.issued_at,
        step_s=forecast.step_s,
        errors=observed - forecast.point,
        covered_ratio=float(inside[seen].mean()) if seen.any() else float("nan"),
        overlapped=_is_touched(acts, forecast, forecast.at_step(len(forecast.point) - 1)),
    )


def _breach_results(
    context: Context, cycle_id: str, forecast: Forecast, foretold: list[Breach], acts: Acts
) -> list[BreachResult]:
    objectives = {objective.name: objective for objective in context.objectives()}
    return [
        result
        for breach in foretold
        if breach.series == forecast.series
        and not breach.is_breached_now
        and breach.objective in objectives
        and (result := _result(context, cycle_id, breach, forecast, objectives[breach.objective], acts))
    ]


def _result(
    context: Context, cycle_id: str, breach: Breach, forecast: Forecast, objective: Objective, acts: Acts
) -> BreachResult | None:
    """Return whether a foretold breach happened.

    None where nothing was observed, which is no good news, and where something was done about it: a breach that was
    prevented says nothing against the forecast.
    """
    steps = max(1, min(len(forecast.point), round(objective.horizon_s / forecast.step_s)))
    end = forecast.at_step(steps - 1)
    if _is_touched(acts, forecast, end):
        return None
    observed = context.store.samples.frame([breach.series], end, forecast.step_s, steps).values[0]
    seen = observed[np.isfinite(observed)]
    if not len(seen):
        return None
    happened = bool((seen > objective.bound).any() if objective.side == "below" else (seen < objective.bound).any())
    return BreachResult(
        cycle_id=cycle_id,
        objective=breach.objective,
        series=breach.series,
        probability=breach.probability,
        raw_probability=breach.raw_probability if breach.raw_probability is not None else breach.probability,
        happened=happened,
    )
