"""The forecast stage: quantiles, joint paths, breaches and the overall state; the ledger of past errors grows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np

from storage.forecasts import BreachResult, ForecastError
from storage.records import Breach, Forecast, Frame
from tasks.context import Context
from tasks.forecast import ForecastBatch, forecast_batch
from tasks.forecast.outlook import Outlook, breaches_of, forecasts_of, predicted_state
from tasks.stage import stage

RESOLVED_PER_TURN = 500


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
    batches = tuple(_forecast(context, frame) for frame in frames)
    forecasts = [each for frame, batch in zip(frames, batches, strict=True) for each in forecasts_of(frame, batch)]
    breaches = [
        each for frame, batch in zip(frames, batches, strict=True) for each in breaches_of(frame, batch, objectives)
    ]
    state = predicted_state(frames, batches, objectives, context.tick)
    context.store.forecasts.append(forecasts, context.cycle_id)
    context.store.forecasts.breaches.append(breaches, context.cycle_id)
    context.store.forecasts.append_state(state, context.cycle_id)
    settle(context)
    return Outlook(frames, batches, tuple(forecasts), tuple(breaches), state)


def _forecast(context: Context, frame: Frame) -> ForecastBatch:
    horizon = context.settings.forecasting.forecaster.horizon_steps
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return forecast_batch(
            frame.values, season_lengths=frame.season_lengths, horizon=horizon, seed=context.cycle.seed
        )


def settle(context: Context) -> None:
    """Compare forecasts whose whole horizon has passed with what was observed."""
    matured = context.store.forecasts.unresolved(context.tick, RESOLVED_PER_TURN)
    acted = [(view.action.series, view.receipt.finished_at) for view in _acts(context) if view.receipt]
    errors = [_error(context, cycle_id, forecast, acted) for cycle_id, forecast in matured]
    context.store.forecasts.append_errors(errors)
    cycles = sorted({cycle_id for cycle_id, _ in matured})
    results = [each for cycle_id in cycles for each in _breach_results(context, cycle_id, dict(_first(matured)))]
    context.store.forecasts.append_breach_results(results)


def _acts(context: Context) -> list[Any]:
    return context.store.actions.finished(context.tick - timedelta(days=2))


def _first(matured: list[tuple[str, Forecast]]) -> list[tuple[str, Forecast]]:
    return list(reversed(matured))


def _observed(context: Context, forecast: Forecast) -> np.ndarray[Any, Any]:
    steps = len(forecast.point)
    end = forecast.issued_at + timedelta(seconds=forecast.step_s * steps)
    frame = context.store.samples.frame([forecast.series], end, forecast.step_s, steps)
    observed: np.ndarray[Any, Any] = frame.values[0]
    return observed


def _error(context: Context, cycle_id: str, forecast: Forecast, acted: list[Any]) -> ForecastError:
    observed = _observed(context, forecast)
    low, high = forecast.quantiles[:, 0], forecast.quantiles[:, -1]
    seen = np.isfinite(observed)
    inside = (observed >= low) & (observed <= high)
    end = forecast.issued_at + timedelta(seconds=forecast.step_s * len(forecast.point))
    return ForecastError(
        cycle_id=cycle_id,
        series=forecast.series,
        issued_at=forecast.issued_at,
        step_s=forecast.step_s,
        errors=observed - forecast.point,
        covered_ratio=float(inside[seen].mean()) if seen.any() else float("nan"),
        overlapped=any(series == forecast.series and forecast.issued_at < at <= end for series, at in acted),
    )


def _breach_results(context: Context, cycle_id: str, by_cycle: dict[str, Forecast]) -> list[BreachResult]:
    objectives = {objective.name: objective for objective in context.objectives()}
    foretold = context.store.forecasts.breaches.select("WHERE cycle_id = $cycle_id", {"cycle_id": cycle_id})
    forecast = by_cycle[cycle_id]
    return [
        result
        for breach in foretold
        if not breach.is_breached_now
        and breach.objective in objectives
        and (result := _result(context, cycle_id, breach, forecast, objectives[breach.objective].horizon_s))
    ]


def _result(
    context: Context, cycle_id: str, breach: Breach, forecast: Forecast, horizon_s: float
) -> BreachResult | None:
    """Return whether a foretold breach happened; None where nothing was observed: that is no good news."""
    objective = next(each for each in context.objectives() if each.name == breach.objective)
    span_s = min(horizon_s, forecast.step_s * len(forecast.point))
    steps = max(1, round(span_s / forecast.step_s))
    end = forecast.issued_at + timedelta(seconds=forecast.step_s * steps)
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
