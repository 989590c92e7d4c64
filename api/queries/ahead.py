"""What is foretold of a metric as one number, for programs that know numbers only: autoscalers, Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import numpy as np

from api.facade import Facade
from api.models.value_ahead import ValueAhead
from storage.errors import ForeactError
from storage.records import FloatArray, Forecast, metric_of
from tasks.drivers.in_force import breaches_in_force
from tasks.objectives.in_force import objectives_in_force
from tasks.text import span

QUANTILES = (0.1, 0.5, 0.9)
AHEAD_S = (900, 3_600, 21_600, 86_400)
MOST_SERIES = 20
"""Of an objective: those that most likely break it. Prometheus keeps every one of them for ever."""
STALE_TURNS = 3
"""A forecast that the loop has not renewed for so many turns is no longer told to a machine."""

Predicted = Mapping[tuple[str, str, str, str], float]
"""By objective, series, quantile and seconds ahead."""


def value_ahead(facade: Facade, series: str, quantile: float, within_s: float) -> ValueAhead:
    """Return the highest value of a quantile of one series within so many seconds of now.

    `series` may be the name of a metric that has one series. Raises `series_unknown`, `series_ambiguous`, and
    `forecast_stale` where the newest forecast is older than three turns, so that who asks falls back on what it does
    without.
    """
    forecast = _forecast_of(facade, series)
    now, issued_at = facade.clock(), forecast.issued_at
    interval_s = max(facade.in_force.analysis_interval_s, forecast.step_s)
    if now - issued_at > timedelta(seconds=STALE_TURNS * interval_s):
        detail = f"The newest forecast of {forecast.series} is {span((now - issued_at).total_seconds())} old."
        raise ForeactError("forecast_stale", detail, "See whether cycles run: `foreact status`.", status=503)
    values = quantile_of(forecast, quantile)
    ends_s = forecast.step_s * np.arange(1, len(values) + 1) - (now - issued_at).total_seconds()
    within = (ends_s > 0) & (ends_s - forecast.step_s < within_s)
    if not within.any():
        detail = f"The forecast of {forecast.series} does not reach that far."
        raise ForeactError("forecast_stale", detail, "See whether cycles run: `foreact status`.", status=503)
    step = int(np.flatnonzero(within)[np.argmax(values[within])])
    return ValueAhead(
        value=float(values[step]),
        series=forecast.series,
        quantile=quantile,
        at=forecast.at_step(step),
        issued_at=issued_at,
    )


def quantile_of(forecast: Forecast, quantile: float) -> FloatArray:
    """Return a quantile over the steps (n_steps,), read between the levels that the forecast has."""
    place = float(np.interp(quantile, forecast.levels, np.arange(len(forecast.levels))))
    below, share = int(place), place % 1
    values = np.asarray(forecast.quantiles, dtype=float)
    lower: FloatArray = values[:, below]
    return lower if share == 0 else lower + share * (values[:, below + 1] - lower)


def predicted(facade: Facade) -> Predicted:
    """Return quantiles of what the newest cycle foretells of the series of each objective, at some leads."""
    store = facade.store

    def read() -> Predicted:
        cycle_id = store.forecasts.latest_cycle()
        if cycle_id is None:
            return {}
        forecasts = {each.series: each for each in store.forecasts.of_cycle(cycle_id) if each.refusal is None}
        risk = {(each.objective, each.series): each.probability for each in breaches_in_force(store, cycle_id)}
        found: dict[tuple[str, str, str, str], float] = {}
        for objective in objectives_in_force(facade.in_force, store):
            meant = [name for name in forecasts if objective.matches(name)]
            meant.sort(key=lambda name: (-risk.get((objective.name, name), 0.0), name))
            for name in meant[:MOST_SERIES]:
                found |= {(objective.name, name, *lead): value for lead, value in _leads(forecasts[name]).items()}
        return found

    return store.engine.recall(("forecasts", "breaches", "facts"), ("predicted", facade.in_force.hash), read)


def _leads(forecast: Forecast) -> Mapping[tuple[str, str], float]:
    steps = [(ahead_s, round(ahead_s / forecast.step_s) - 1) for ahead_s in AHEAD_S]
    values = {quantile: quantile_of(forecast, quantile) for quantile in QUANTILES}
    return {
        (f"{quantile:g}", str(ahead_s)): float(values[quantile][step])
        for quantile in QUANTILES
        for ahead_s, step in steps
        if 0 <= step < len(forecast.point)
    }


def _forecast_of(facade: Facade, series: str) -> Forecast:
    ledger = facade.store.forecasts
    cycle_id = ledger.latest_cycle()
    forecasts = ledger.of_cycle(cycle_id) if cycle_id is not None else []
    named = [each for each in forecasts if each.series == series]
    named = named or [each for each in forecasts if metric_of(each.series) == series]
    if len(named) > 1:
        detail = f"{series} has {len(named)} series, such as {named[0].series}."
        raise ForeactError("series_ambiguous", detail, "Name one of them.", status=409)
    usable = [each for each in named if each.refusal is None]
    if not usable:
        why = f": {named[0].refusal}" if named else ""
        remedy = "GET /api/autonomous/predictions lists the series that are forecast."
        raise ForeactError("series_unknown", f"There is no forecast of {series}{why}.", remedy, status=404)
    return usable[0]
