"""The measure stage: actions whose window has passed are judged against the forecast issued before them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from storage.actions import ActionView
from storage.records import (
    NOTHING,
    Action,
    Autonomy,
    Forecast,
    Frame,
    Outcome,
    Receipt,
    ReceiptStatus,
    Verdict,
    stable_id,
)
from tasks.context import Context
from tasks.forecast import forecast_batch
from tasks.measure import Effect, ErrorLedger, acted_steps, build_ledger, measure_effect
from tasks.measure.overlap import ActionWindow
from tasks.stage import stage

Outcomes = tuple[Outcome, ...]

HISTORY_STEPS = 2_016
ORIGINS = 60
FEWEST_HISTORY_STEPS = 30
EARLIEST_GUARD_STEPS = 5
FINISHED_DAYS = 14


@dataclass(frozen=True)
class _Counterfactual:
    """The forecast issued before an act, cut to the steps after it, with the ledger of errors at those steps."""

    cycle_id: str
    forecast: Forecast
    first_step: int
    steps: int
    ledger: ErrorLedger
    metric_sd: float

    @property
    def point(self) -> np.ndarray[Any, Any]:
        return self.forecast.point[self.first_step : self.first_step + self.steps]

    @property
    def ends_at(self) -> datetime:
        return self.forecast.at_step(self.first_step + self.steps - 1)


def _summary(outcomes: Outcomes) -> Mapping[str, Any]:
    verdicts = [str(outcome.verdict) for outcome in outcomes if outcome.role == "target"]
    return {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))}


@stage("measure", _summary)
def measure(context: Context) -> Outcomes:
    """Measure actions whose window has passed; undo at once what visibly made a guarded metric worse."""
    outcomes: list[Outcome] = []
    for view in _measurable(context):
        found = _outcomes(context, view)
        context.store.outcomes.append(found, context.cycle_id)
        outcomes += found
    watch_guards(context)
    return tuple(outcomes)


def _measurable(context: Context) -> list[ActionView]:
    """Return acts whose window lies in the past and which aimed at a metric."""
    return [
        view
        for view in context.store.actions.unmeasured()
        if view.action.series and view.receipt and _matures_at(view.action, view.receipt) <= context.tick
    ]


def _matures_at(action: Action, receipt: Receipt) -> datetime:
    return receipt.finished_at + timedelta(seconds=action.horizon_s)


def _outcomes(context: Context, view: ActionView) -> list[Outcome]:
    action, receipt = view.action, view.receipt
    assert receipt is not None
    assert action.series is not None
    series = [(action.series, "target"), *((guard, "guard") for guard in action.guards if guard != action.series)]
    return [_outcome(context, action, receipt, name, role) for name, role in series]


def _outcome(context: Context, action: Action, receipt: Receipt, series: str, role: Any) -> Outcome:
    effect, extra = effect_on(context, action, receipt, series, action.horizon_s)
    return Outcome(
        outcome_id=stable_id("outcome", action.action_id, series),
        action_id=action.action_id,
        action=action.name,
        goal_id=action.goal_id,
        goal_type=action.goal_type,
        strategy=action.strategy,
        series=series,
        role=role,
        measured_at=context.tick,
        acted_at=receipt.finished_at,
        horizon_s=action.horizon_s,
        estimate=_number(effect.estimate),
        low=_number(effect.low),
        high=_number(effect.high),
        standard_error=_number(effect.standard_error),
        p_value=_number(effect.p_value),
        effect_sd_units=_number(effect.effect_sd_units),
        standard_error_sd_units=_number(effect.standard_error_sd_units),
        verdict=effect.verdict,
        reason=effect.reason,
        propensity=action.propensity,
        claimed=_claimed(receipt, series),
        status=receipt.status,
        duration_s=receipt.duration_s,
        evidence=extra,
    )


def effect_on(
    context: Context, action: Action, receipt: Receipt, series: str, span_s: float
) -> tuple[Effect, dict[str, Any]]:
    """Return what an act changed on a series within `span_s`, and what the judgement rests on."""
    basis = _counterfactual(context, action, receipt, series, span_s)
    if basis is None:
        return Effect(Verdict.UNKNOWN, "no forecast of this series was issued before the act"), {}
    observed = context.store.samples.frame([series], basis.ends_at, basis.forecast.step_s, basis.steps).values[0]
    effect = measure_effect(
        observed,
        basis.point,
        basis.ledger,
        better="lower" if action.side == "below" else "higher",
        metric_sd=basis.metric_sd or None,
        overlapping=_overlapping(context, action, receipt, series),
    )
    evidence = {
        "forecast_cycle_id": basis.cycle_id,
        "step_s": basis.forecast.step_s,
        "first_step": basis.first_step,
        "observed": [_number(value) for value in observed],
        "forecast": [_number(value) for value in basis.point],
        "past_windows": _number(effect.past_windows),
        "expected": _number(effect.expected),
        "relative_ratio": _number(effect.relative_ratio),
    }
    return effect, evidence


def _counterfactual(
    context: Context, action: Action, receipt: Receipt, series: str, span_s: float
) -> _Counterfactual | None:
    found = context.store.forecasts.before(series, receipt.started_at)
    if found is None:
        return None
    cycle_id, forecast = found
    waited_s = (receipt.finished_at - forecast.issued_at).total_seconds()
    first_step = max(0, int(np.ceil(waited_s / forecast.step_s)))
    steps = min(max(1, round(span_s / forecast.step_s)), len(forecast.point) - first_step)
    if steps < 1:
        return None
    history = context.store.samples.frame([series], forecast.issued_at, forecast.step_s, HISTORY_STEPS)
    ledger = past_errors(context, history, first_step, steps)
    sd = float(np.nanstd(history.values[0])) if np.isfinite(history.values[0]).any() else 0.0
    return _Counterfactual(cycle_id, forecast, first_step, steps, ledger, sd)


def past_errors(context: Context, history: Frame, first_step: int, steps: int) -> ErrorLedger:
    """Return the errors of forecasts as they would have been issued along a history no act touched.

    The forecaster is run again at past origins, each of which sees only what lay before it.
    """
    values = history.values[0]
    start = int(np.argmax(np.isfinite(values))) if np.isfinite(values).any() else len(values)
    first, last = start + FEWEST_HISTORY_STEPS, len(values) - 1 - first_step - steps
    if last <= first:
        return ErrorLedger.empty(steps)
    origins = np.unique(np.linspace(first, last, min(ORIGINS, last - first + 1)).astype(int))
    seen = np.full((len(origins), len(values)), np.nan)
    for row, origin in enumerate(origins):
        seen[row, len(values) - 1 - origin :] = values[: origin + 1]
    batch = forecast_batch(
        seen, season_lengths=history.season_lengths, horizon=first_step + steps, seed=context.cycle.seed
    )
    usable = np.isfinite(batch.point).all(axis=1)
    if not usable.any():
        return ErrorLedger.empty(steps)
    acted = acted_steps(_windows_in_steps(context, history), history.series[0], len(values))
    return build_ledger(
        values,
        batch.point[usable][:, first_step:],
        origins[usable] + first_step,
        steps_per_day=86_400 / history.step_s,
        acted=acted,
    )


def _windows_in_steps(context: Context, history: Frame) -> list[ActionWindow]:
    begins = history.end - timedelta(seconds=history.step_s * (history.values.shape[1] - 1))

    def step(moment_s: float) -> float:
        return (moment_s - begins.timestamp()) / history.step_s

    return [
        ActionWindow(window.action_id, step(window.start), step(window.end), window.metrics)
        for window in _acts(context)
    ]


def _acts(context: Context) -> list[ActionWindow]:
    """Return when recent acts and undos reached which metrics, in epoch seconds."""
    finished = context.store.actions.finished(context.tick - timedelta(days=FINISHED_DAYS))
    return [
        ActionWindow(
            view.action.action_id,
            view.receipt.started_at.timestamp(),
            view.receipt.finished_at.timestamp() + view.action.horizon_s,
            frozenset([view.action.series]),
        )
        for view in finished
        if view.receipt
        and view.action.series
        and view.receipt.status is ReceiptStatus.SUCCEEDED
        and view.action.name != NOTHING
    ]


def _overlapping(context: Context, action: Action, receipt: Receipt, series: str) -> list[str]:
    own = ActionWindow(
        action.action_id,
        receipt.started_at.timestamp(),
        receipt.finished_at.timestamp() + action.horizon_s,
        frozenset([series]),
    )
    return [other.action_id for other in _acts(context) if other.action_id != action.action_id and own.meets(other)]


def watch_guards(context: Context) -> None:
    """Plan the undo of recent acts that made a guarded metric, or their own, demonstrably worse."""
    since = context.tick - timedelta(seconds=context.settings.executor.stabilisation_seconds)
    for view in context.store.actions.finished(since):
        if _may_be_undone(context, view) and (reason := _worsened(context, view)):
            plan_undo(context, view.action, reason)


def _may_be_undone(context: Context, view: ActionView) -> bool:
    handler = context.actions.get(view.action.name)
    done = view.receipt is not None and view.receipt.status is ReceiptStatus.SUCCEEDED
    reversible = handler is not None and handler.reversible
    return done and reversible and not view.action.undo_of and not context.store.actions.undo_for(view.action.action_id)


def _worsened(context: Context, view: ActionView) -> str:
    action, receipt = view.action, view.receipt
    assert receipt is not None
    span_s = (context.tick - receipt.finished_at).total_seconds()
    watched = [series for series in (action.series, *action.guards) if series]
    for series in watched:
        effect, evidence = effect_on(context, action, receipt, series, span_s)
        if effect.verdict is Verdict.WORSE and effect.observed_steps >= EARLIEST_GUARD_STEPS and evidence:
            return f"{series} got worse: {effect.reason}"
    return ""


def plan_undo(context: Context, action: Action, reason: str) -> Action:
    """Record that an act is to be undone now; undoing is done, guarded and recorded like any action."""
    undo = action.model_copy(
        update={
            "action_id": stable_id("action", "undo", action.action_id),
            "undo_of": action.action_id,
            "level": Autonomy.AUTO,
            "created_at": context.tick,
            "due_at": context.tick,
            "expires_at": context.tick + timedelta(days=1),
        }
    )
    context.store.actions.append([undo], context.cycle_id)
    context.store.audit.append("loop", "undo planned", action.action_id, {"reason": reason})
    return undo


def _claimed(receipt: Receipt, series: str) -> float | None:
    metric = series.partition("{")[0]
    return receipt.claimed_impact.get(series, receipt.claimed_impact.get(metric))


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
