"""What is fitted once and kept: fleets for a day, the curves that make probabilities honest for an hour."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from settings import Settings
from storage.facts import WRONG_METHODS
from storage.fitted import Fitted
from storage.records import Frame, Objective
from tasks.context import Context
from tasks.forecast.batch import Floats, Ints
from tasks.forecast.fleet.fit import FleetState
from tasks.forecast.fleet.residuals import one_step_residuals
from tasks.forecast.fleet_snapshot import CorruptSnapshot, FleetSnapshot, fit_snapshot, read_snapshot
from tasks.forecast.method_per_series import Method, MethodPerSeries
from tasks.forecast.risk.crossings import steps_within
from tasks.forecast.risk.outlook import StateRecalibration
from tasks.forecast.risk.recalibration import Recalibration, fit_recalibration
from tasks.forecast.time_budget import TimeBudget, read_marks
from tasks.forecast.verification.resolved import far_apart, past_of

logger = logging.getLogger(__name__)

FLEET_SERVES = timedelta(days=1)
CURVES_SERVE = timedelta(hours=1)
LEDGER_DAYS = 14
LEDGER_SERIES = 128
LEDGER_GAPS = 8.0  # in a horizon, where no objective says how far apart its errors have to be
RESOLVED_SEEN = 2_000
CURVES = "recalibration"
PACE = "pace of models"


@dataclass(frozen=True)
class StoredModels:
    """The fleet of each frame, the recalibration of breaches and states, how long models may take, and notes."""

    fleets: tuple[FleetSnapshot, ...]
    breach: Recalibration
    state: StateRecalibration
    pace: TimeBudget
    notes: tuple[str, ...] = ()


def serving_of(context: Context) -> MethodPerSeries:
    """Return which method serves which series, as configured; what is wrong with one is audited once."""
    serving = configured(context.settings)
    wrong, store = serving.wrong_methods(), context.store
    if wrong != (store.facts.get(WRONG_METHODS) or {}):
        store.facts.set(WRONG_METHODS, wrong)
        for metric, trouble in wrong.items():
            store.audit.append("loop", "forecaster misconfigured", metric, {"trouble": trouble})
    return serving


def configured(settings: Settings) -> MethodPerSeries:
    """Return which method serves which series, by the settings."""
    options = settings.forecasting.forecaster
    own = {
        metric: method if isinstance(method, str) else Method(method.method, method.arguments)
        for metric, method in options.per_metric.items()
    }
    return MethodPerSeries(options.default_method, own, options.arguments)


def earlier_residuals(context: Context, frame: Frame) -> Callable[[Ints], Floats] | None:
    """Return what gives one-step errors (rows, t) of the fleet that an earlier cycle fitted for frames like this one.

    None before the first, or without a day of history; NaN where a step has no forecast.
    """
    state = _earlier_state(context, frame)
    return None if state is None else one_step_residuals(frame.values, state)


def _earlier_state(context: Context, frame: Frame) -> FleetState | None:
    horizon = context.settings.forecasting.forecaster.horizon_steps
    name = _name(frame, horizon)
    fitted = context.store.forecasts.fitted.get([name]).get(name)
    if fitted is None:
        return None
    try:
        kept = read_snapshot(fitted.body)
    except CorruptSnapshot:  # the forecast stage says so and fits another
        return None
    serves = kept.serves(frame.values, frame.season_lengths, horizon, context.cycle.seed)
    return kept.state if serves else None


def stored_models(context: Context, frames: Sequence[Frame], objectives: Sequence[Objective]) -> StoredModels:
    """Return what earlier cycles learned, fitted anew where it is a day old, outgrown, missing or corrupt."""
    horizon = context.settings.forecasting.forecaster.horizon_steps
    names = [_name(frame, horizon) for frame in frames]
    fitted = context.store.forecasts.fitted.get([*names, CURVES, PACE])
    notes: list[str] = []
    fleets = []
    for name, frame in zip(names, frames, strict=True):
        kept = _read(context, fitted.get(name), notes)
        if kept is None or not kept.serves(frame.values, frame.season_lengths, horizon, context.cycle.seed):
            kept = _fit(context, name, frame, objectives)
        fleets.append(kept)
    breach, state = _curves(context, fitted.get(CURVES), notes)
    return StoredModels(tuple(fleets), breach, state, _pace(context, fitted.get(PACE), notes), tuple(notes))


def keep_pace(context: Context, pace: TimeBudget) -> None:
    """Keep where models stopped, if that is news."""
    name, text = PACE, pace.to_text()
    fitted = context.store.forecasts.fitted.get([name]).get(name)
    if pace.marks and (fitted is None or fitted.body != text):
        context.store.forecasts.fitted.keep(Fitted(name, context.tick, text))


def _pace(context: Context, fitted: Fitted | None, notes: list[str]) -> TimeBudget:
    budget_s = context.settings.forecasting.forecaster.model_budget_seconds
    pace = TimeBudget(budget_s, context.tick.timestamp())
    try:
        pace.marks = read_marks(fitted.body) if fitted else {}
    except (ValueError, TypeError, KeyError, AttributeError) as trouble:
        _say_corrupt(context, Fitted(PACE, context.tick, ""), trouble, notes)
    return pace


def _name(frame: Frame, horizon: int) -> str:
    seasons = "/".join(map(str, frame.season_lengths))
    return f"fleet of {frame.step_s:g} s, seasons {seasons}, {horizon} ahead"


def _read(context: Context, fitted: Fitted | None, notes: list[str]) -> FleetSnapshot | None:
    """Return a kept fleet, None where there is none, it is too old, or it cannot be read: that is said, not raised."""
    if fitted is None or not timedelta(0) <= context.tick - fitted.fitted_at < FLEET_SERVES:
        return None
    try:
        return read_snapshot(fitted.body)
    except CorruptSnapshot as trouble:
        _say_corrupt(context, fitted, trouble, notes)
        return None


def _say_corrupt(context: Context, fitted: Fitted, trouble: Exception, notes: list[str]) -> None:
    note = f"the stored '{fitted.name}' is unreadable ({trouble}); it was fitted again"
    logger.warning(note)
    context.store.audit.append("loop", "forecaster refitted", fitted.name, {"trouble": str(trouble)})
    notes.append(note)


def _fit(context: Context, name: str, frame: Frame, objectives: Sequence[Objective]) -> FleetSnapshot:
    """Fit a fleet, with what its resolved forecasts teach, and keep it."""
    horizon, seed = context.settings.forecasting.forecaster.horizon_steps, context.cycle.seed
    fresh = context.once(fit_snapshot, frame.values, season_lengths=frame.season_lengths, horizon=horizon, seed=seed)
    kept = _with_past(context, fresh, frame, horizon, objectives)
    context.store.forecasts.fitted.keep(Fitted(name, context.tick, kept.to_text()))
    return kept


def _with_past(
    context: Context, kept: FleetSnapshot, frame: Frame, horizon: int, objectives: Sequence[Objective]
) -> FleetSnapshot:
    foretold = [each for each in objectives if each.kind.has_breach_forecast]
    rows = frame.index.meant_by_any(each.measured for each in foretold)
    watched = [frame.series[row] for row in sorted(rows)]
    meant = [each for each in foretold if frame.index.meant(each.measured)]
    within = max((steps_within(each, frame.step_s, horizon) for each in meant), default=0)
    store = context.store.forecasts
    since = context.tick - timedelta(days=LEDGER_DAYS)
    gap_s = frame.step_s * (within or horizon / LEDGER_GAPS)
    moments = far_apart(store.resolved_at(frame.step_s, since), gap_s)
    others = [name for row, name in enumerate(frame.series) if row not in rows]
    sample = [*watched, *others][: max(LEDGER_SERIES, len(watched))]
    past = past_of(store.resolved(frame.step_s, horizon, moments, sample), horizon)
    if not len(past.ledger):
        return kept
    offsets = np.clip(past.offsets(frame.step_s), -kept.state.horizon, kept.state.horizon)
    return replace(kept, state=replace(kept.state, offsets=offsets), blocks=past.blocks(watched, within))


def _curves(context: Context, fitted: Fitted | None, notes: list[str]) -> tuple[Recalibration, StateRecalibration]:
    """Return the recalibration of breaches and of states, by how the newest of them turned out."""
    if fitted is not None and timedelta(0) <= context.tick - fitted.fitted_at < CURVES_SERVE:
        try:
            return _curves_of(json.loads(fitted.body))
        except (ValueError, TypeError, KeyError) as trouble:
            _say_corrupt(context, fitted, trouble, notes)
    plain = _fit_curves(context)
    context.store.forecasts.fitted.keep(Fitted(CURVES, context.tick, json.dumps(plain)))
    return _curves_of(plain)


def _fit_curves(context: Context) -> dict[str, tuple[float, float, int]]:
    breaches = context.store.forecasts.breach_results(RESOLVED_SEEN)
    states = context.store.forecasts.states.results(RESOLVED_SEEN)
    came = np.asarray(states["came"], dtype=str)
    curves = {
        "breach": (breaches["raw_probability"], breaches["happened"]),
        "unhealthy": (states["raw_unhealthy"], came != "healthy"),
        "critical": (states["raw_critical"], came == "critical"),
    }
    fits = {
        name: fit_recalibration(np.asarray(foretold, dtype=float), np.asarray(happened, dtype=float))
        for name, (foretold, happened) in curves.items()
    }
    return {name: (fit.intercept, fit.slope, fit.forecasts) for name, fit in fits.items()}


def _curves_of(plain: Mapping[str, Sequence[float]]) -> tuple[Recalibration, StateRecalibration]:
    curves = {}
    for name in ("breach", "unhealthy", "critical"):
        intercept, slope, forecasts = plain[name]
        curves[name] = Recalibration(float(intercept), float(slope), int(forecasts))
    return curves["breach"], StateRecalibration(curves["unhealthy"], curves["critical"])
