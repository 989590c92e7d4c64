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
    metric_of,
    stable_id,
)
from tasks.context import Context
from tasks.forecast import forecast_batch
from tasks.measure import Effect, ErrorLedger, acted_steps, build_ledger, measure_effect
from tasks.measure.effect import Better
from tasks.measure.overlap import ActionWindow
from tasks.monitor.windows import LONGEST_STEP_S
from tasks.stage import stage

Outcomes = tuple[Outcome, ...]

HISTORY_STEPS = 2_016
ORIGINS = 60
FEWEST_HISTORY_STEPS = 30
EARLIEST_GUARD_STEPS = 5
WATCHED_STEPS = 7
FINISHED_DAYS = 14


@dataclass(frozen=True)
class _Window:
    """The forecast issued before an act, cut to the whole steps after it."""

    cycle_id: str
    forecast: Forecast
    first_step: int
    steps: int

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
    for view in context.store.actions.unmeasured():
        if view.receipt and view.action.series and _is_over(context, view.action, view.receipt):
            found = _outcomes(context, view.action, view.receipt)
            context.store.outcomes.append(found, context.cycle_id)
            outcomes += found
    watch_guards(context)
    return tuple(outcomes)


def _is_over(context: Context, action: Action, receipt: Receipt) -> bool:
    """Tell whether the window of an act lies in the past, with the last step that belongs to it."""
    until = _until(context, action, receipt)
    window = _window(context, receipt, str(action.series), until)
    return max(until, window.ends_at if window else until) <= context.tick


def _until(context: Context, action: Action, receipt: Receipt) -> datetime:
    """Return when the window of an act ends: after its horizon, or when the act was undone."""
    end = receipt.finished_at + timedelta(seconds=action.horizon_s)
    undo = context.store.actions.undo_for(action.action_id)
    undone = undo.receipt if undo else None
    if undone is None or undone.status is not ReceiptStatus.SUCCEEDED:
        return end
    return max(receipt.finished_at, min(end, undone.started_at))


def _outcomes(context: Context, action: Action, receipt: Receipt) -> list[Outcome]:
    guards = ((guard, "guard") for guard in _guards(context, action))
    return [_outcome(context, action, receipt, name, role) for name, role in ((str(action.series), "target"), *guards)]


def _guards(context: Context, action: Action) -> list[str]:
    """Return the series that an action must not make worse: those of the metrics that its objective names."""
    if not action.guards:
        return []
    known = [info.series for info in context.store.samples.known()]
    return [name for name in known if name != action.series and {name, metric_of(name)} & set(action.guards)]


def _better(context: Context, action: Action, series: str) -> Better:
    """Return which way a metric is to move: a guard by its own objective, lower where it has none."""
    meant = (each.side for each in context.objectives() if each.matches(series))
    side = action.side if series == action.series else next(meant, "below")
    return "lower" if side == "below" else "higher"


def _outcome(context: Context, action: Action, receipt: Receipt, series: str, role: Any) -> Outcome:
    until = _until(context, action, receipt)
    effect, extra = effect_on(context, action, receipt, series, until)
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
        horizon_s=(until - receipt.finished_at).total_seconds(),
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
    context: Context, action: Action, receipt: Receipt, series: str, until: datetime
) -> tuple[Effect, dict[str, Any]]:
    """Return what an act changed on a series up to a moment, and what the judgement rests on."""
    window = _window(context, receipt, series, until)
    if window is None:
        return Effect(Verdict.UNKNOWN, "no forecast issued before the act tells of this series and time"), {}
    step_s = window.forecast.step_s
    observed = context.store.samples.frame([series], window.ends_at, step_s, window.steps).values[0]
    history = context.store.samples.frame([series], window.forecast.issued_at, step_s, HISTORY_STEPS)
    effect = measure_effect(
        observed,
        window.point,
        past_errors(context, history, window.first_step, window.steps),
        better=_better(context, action, series),
        metric_sd=float(np.nanstd(history.values[0])) if np.isfinite(history.values[0]).any() else None,
        overlapping=_overlapping(context, action, receipt, series, until),
    )
    evidence = {
        "forecast_cycle_id": window.cycle_id,
        "step_s": step_s,
        "first_step": window.first_step,
        "observed": [_number(value) for value in observed],
        "forecast": [_number(value) for value in window.point],
        "past_windows": _number(effect.past_windows),
        "expected": _number(effect.expected),
        "relative_ratio": _number(effect.relative_ratio),
    }
    return effect, evidence


def _window(context: Context, receipt: Receipt, series: str, until: datetime) -> _Window | None:
    """Return the window from an act to a moment; None where no forecast issued before the act reaches into it."""
    found = context.store.forecasts.before(series, receipt.started_at)
    if found is None:
        return None
    cycle_id, forecast = found
    waited_s, span_s = (receipt.finished_at - forecast.issued_at), (until - receipt.finished_at)
    first_step = max(0, int(np.ceil(waited_s.total_seconds() / forecast.step_s)))
    steps = min(max(1, round(span_s.total_seconds() / forecast.step_s)), len(forecast.point) - first_step)
    return _Window(cycle_id, forecast, first_step, steps) if steps >= 1 else None


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


def _overlapping(context: Context, action: Action, receipt: Receipt, series: str, until: datetime) -> list[str]:
    own = ActionWindow(
        action.action_id,
        receipt.started_at.timestamp(),
        until.timestamp(),
        frozenset([series]),
    )
    return [other.action_id for other in _acts(context) if other.action_id != action.action_id and own.meets(other)]


def watch_guards(context: Context) -> None:
    """Plan the undo of recent acts that made a guarded metric, or their own, demonstrably worse.

    An act is watched for the stabilisation time, and for as long as it takes to see a few steps of the metric.
    """
    longest_s = max(context.settings.executor.stabilisation_seconds, WATCHED_STEPS * LONGEST_STEP_S)
    for view in context.store.actions.finished(context.tick - timedelta(seconds=longest_s)):
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
    age_s = (context.tick - receipt.finished_at).total_seconds()
    for series in [*([action.series] if action.series else []), *_guards(context, action)]:
        window = _window(context, receipt, series, context.tick)
        watched_s = WATCHED_STEPS * window.forecast.step_s if window else 0.0
        if window is None or age_s > max(context.settings.executor.stabilisation_seconds, watched_s):
            continue
        effect, _ = effect_on(context, action, receipt, series, context.tick)
        if effect.verdict is Verdict.WORSE and effect.observed_steps >= EARLIEST_GUARD_STEPS:
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
