"""Judge one act: its effect on its target, its guards and everything else that was forecast, as outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np

from storage.facts import EARLY_VERDICTS
from storage.records import Action, Estimand, FloatArray, Outcome, Verdict, stable_id
from tasks.context import Context
from tasks.interventions.jumps import FAR_SD
from tasks.interventions.matured import MaturedAct
from tasks.measure.data_around_act import DataAroundAct
from tasks.measure.grid import MetricGrid
from tasks.measure.inference.claims import ClaimedChange, check_claims
from tasks.measure.inference.counters import is_counter
from tasks.measure.inference.early_verdict import EarlyVerdict, early_verdict
from tasks.measure.inference.effect import Effect
from tasks.measure.inference.many_metrics import MetricWindow, Role, measure_many
from tasks.measure.inference.other_acts import with_others
from tasks.measure.preregister import better_of
from tasks.objectives.in_force import objectives_in_force
from tasks.plan import fan_with
from tasks.text import unit_of, value

_NOT_TOLD = frozenset({Verdict.NO_EFFECT, Verdict.INCONCLUSIVE})
LEAST_HALF_RATIO = 1e-9
NO_FORECAST = "no forecast from before the action covers this series and time"
CHOSEN_AFTERWARDS = (
    "the estimand recorded before the action is missing or unreadable: the window follows from what was known then"
)


def judge(around: DataAroundAct, act: MaturedAct) -> list[Outcome]:
    """Return what an act changed on every metric, its target first."""
    grids, effects = list[MetricGrid](), dict[str, Effect]()
    roles: dict[str, Role] = {str(act.action.series): "target"}
    if (estimand := act.estimand) is not None:
        roles |= dict.fromkeys(estimand.guards, "guard")
        names = (estimand.series, *estimand.guards, *estimand.side_effects, *estimand.controls)
        # What an act changes before it works is nothing: with that in the mean, half of its effect would be missed.
        latency_s = around.context.actions[act.action.name].latency_s
        grids = around.grids(estimand, act.receipt, names, act.window.until, latency_s)
        windows = [window for grid in grids for window in _windows(around, act, estimand, grid)]
        roles |= {window.name: window.role for window in windows}
        effects = measured_apart(grids, windows, confidence=estimand.confidence, alpha=estimand.alpha)
    claims = {each.metric: each for each in check_claims(act.receipt.claimed_impact, _by_claim(act, effects))}
    grid_of = {name: grid for grid in grids for name in grid.series}
    unknown = Effect(Verdict.UNKNOWN, NO_FORECAST)
    return [
        _outcome(around.context, act, name, role, effects.get(name, unknown), grid_of.get(name), claims)
        for name, role in roles.items()
    ]


def with_the_last(context: Context, act: MaturedAct) -> Outcome:
    """Return the outcome of a step that others follow: what they did together is measured with the last of them."""
    place = f"step {act.action.position + 1} of {len(act.action.steps)}"
    reason = f"it was {place} of a sequence, whose effect is measured with its last step"
    return outcome_of(context, act, str(act.action.series), Effect(Verdict.CONFOUNDED, reason), {})


def judge_early(around: DataAroundAct, act: MaturedAct) -> EarlyVerdict | None:
    """Return what is clear of an act on its target before its window is over; None while nothing is.

    Where another act reaches into the window, or the metric counts up, it is left to the end.
    """
    windows = target_windows(around, act)
    if not windows or windows[0].overlapping or is_counter(windows[0].name, windows[0].ledger):
        return None
    return early_in(windows[0])


def early_in(window: MetricWindow) -> EarlyVerdict | None:
    """Return what is clear of a metric before its window is over; one standard deviation is worth knowing."""
    steps, sd = window.window_steps or len(window.forecast), window.metric_sd or 0.0
    return early_verdict(window.observed, window.forecast, window.ledger, steps, better=window.better, relevant=sd)


def target_windows(around: DataAroundAct, act: MaturedAct) -> list[MetricWindow]:
    """Return what the target of an act is judged by, as far as it was seen; none where another act reaches into it."""
    estimand = act.estimand
    assert estimand is not None
    latency_s = around.context.actions[act.action.name].latency_s
    grids = around.grids(estimand, act.receipt, [estimand.series], act.window.until, latency_s)
    return [window for grid in grids if not grid.others for window in _windows(around, act, estimand, grid)]


def measured_apart(
    grids: Sequence[MetricGrid], windows: Sequence[MetricWindow], *, confidence: float = 0.90, alpha: float = 0.05
) -> dict[str, Effect]:
    """Measure an act on every metric, apart from what other acts did in the same window."""
    effects = measure_many(windows, confidence=confidence, alpha=alpha)
    others = {name: each for grid in grids for name, each in grid.others.items()}
    spreads = {window.name: window.metric_sd or 0.0 for window in windows}
    apart = {
        name: with_others(effects[name], each, alpha, spreads[name]) for name, each in others.items() if name in effects
    }
    return effects | apart


def _windows(around: DataAroundAct, act: MaturedAct, estimand: Estimand, grid: MetricGrid) -> list[MetricWindow]:
    roles: dict[str, Role] = {
        **dict.fromkeys(estimand.side_effects, "side_effect"),
        **dict.fromkeys(estimand.guards, "guard"),
        estimand.series: "target",
    }
    objectives = objectives_in_force(around.context.settings, around.context.store)
    better = {name: better_of(objectives, name, act.action) for name in roles}
    window_s = estimand.window_steps * estimand.step_s
    return around.windows(grid, act.action, act.receipt, act.window.until, roles, better, estimand, window_s=window_s)


def _by_claim(act: MaturedAct, effects: Mapping[str, Effect]) -> dict[str, Effect]:
    """Return the effects under the names by which the handler claims: a series, or a metric with one series."""
    named = dict(effects)
    for name in act.receipt.claimed_impact:
        same = [series for series in effects if series.partition("{")[0] == name]
        target = str(act.action.series)
        if name not in named and same:
            named[name] = effects[target if target in same else same[0]]
    return named


def _outcome(
    context: Context,
    act: MaturedAct,
    series: str,
    role: Any,
    effect: Effect,
    grid: MetricGrid | None,
    claims: Mapping[str, ClaimedChange],
) -> Outcome:
    claim = claims.get(series, claims.get(series.partition("{")[0]))
    evidence = _evidence(context, act, series, role, effect, grid)
    if claim is not None:
        evidence["claim"] = asdict(claim) | {"measured_ratio": number(claim.measured_ratio)}
    if role == "target" and (early := (context.store.facts.get(EARLY_VERDICTS) or {}).get(act.action.action_id)):
        evidence["early"] = {"verdict": early.verdict, "at": early.at.isoformat(), "steps": early.steps}
    if role == "target" and claims:
        evidence["claims"] = {name: {"agreement": c.agreement, "statement": c.statement} for name, c in claims.items()}
    return outcome_of(context, act, series, effect, evidence, role=role, claim=claim)


def outcome_of(
    context: Context,
    act: MaturedAct,
    series: str,
    effect: Effect,
    evidence: dict[str, Any],
    *,
    role: Role = "target",
    claim: ClaimedChange | None = None,
) -> Outcome:
    """Return an effect on one metric as the outcome that is kept."""
    action, receipt = act.action, act.receipt
    return Outcome(
        outcome_id=stable_id("outcome", action.action_id, series),
        action_id=action.action_id,
        action=action.measured_as,
        steps=() if action.is_middle_step else action.steps,
        goal_id=action.goal_id,
        goal_type=action.goal_type,
        strategy=action.strategy,
        series=series,
        role=role,
        measured_at=context.tick,
        acted_at=receipt.finished_at,
        horizon_s=act.window.length_s,
        estimate=number(effect.estimate),
        low=number(effect.low),
        high=number(effect.high),
        standard_error=number(effect.standard_error),
        p_value=number(effect.p_value),
        effect_sd_units=number(effect.effect_sd_units),
        standard_error_sd_units=number(effect.standard_error_sd_units),
        verdict=effect.verdict,
        reason="; ".join([effect.reason, *_remarks(act, effect, role, claim)]),
        propensity=action.propensity,
        claimed=number(claim.claimed_ratio) if claim else None,
        status=receipt.status,
        duration_s=receipt.duration_s,
        evidence=evidence,
    )


def _remarks(act: MaturedAct, effect: Effect, role: Role, claim: ClaimedChange | None) -> list[str]:
    """Say what a reader must know beside the number."""
    said = []
    if effect.is_measured and effect.observed_steps < effect.window_steps:
        said.append(f"only {effect.observed_steps} of {effect.window_steps} steps after the action were observed")
    if effect.verdict in _NOT_TOLD and role == "target" and act.estimand and act.estimand.detectable is not None:
        least = value(act.estimand.detectable, unit_of(act.estimand.series), digits=3)
        said.append(f"as known beforehand, an effect under {least} could hardly be detected")
    if act.estimand is not None and not act.is_fixed:
        said.append(CHOSEN_AFTERWARDS)
    if claim is not None and claim.agreement == "contradicts":
        said.append(f"the handler {claim.statement}: the measurement counts")
    return said


def _evidence(
    context: Context, act: MaturedAct, series: str, role: str, effect: Effect, grid: MetricGrid | None
) -> dict[str, Any]:
    estimand = act.estimand
    if estimand is None or grid is None:
        return {}
    one = grid.any_forecast
    evidence = evidence_of(act, estimand, effect, one.step_s, one.at_step(grid.first_step), grid.first_step)
    is_worth_a_picture = role != "side_effect" or effect.verdict in {Verdict.IMPROVED, Verdict.WORSE}
    if is_worth_a_picture:
        evidence |= picture_of(grid.seen(series), grid.point(series), *grid.band(series))
    if role != "target":
        return evidence
    return evidence | target_evidence(act, estimand, effect) | _foretold_with(context, act, estimand, effect, grid)


def _foretold_with(
    context: Context, act: MaturedAct, estimand: Estimand, effect: Effect, grid: MetricGrid
) -> dict[str, Any]:
    """Return how many observations the 90 % band of the fan with the act held, as believed when it began."""
    believed, doubt, series = estimand.predicted_sd_units, estimand.predicted_doubt_sd_units, estimand.series
    if believed is None or doubt is None or not effect.standard_error_sd_units > 0:
        return {}
    sd = effect.standard_error / effect.standard_error_sd_units
    traits, forecast = context.actions[act.action.name], grid.forecasts[series]
    ends = [forecast.at_step(grid.first_step + step) for step in range(grid.steps)]
    since_s = np.array([(end - act.receipt.finished_at).total_seconds() for end in ends])
    quantiles = grid.quantiles(series)
    change = (-believed if estimand.better == "lower" else believed) * sd, doubt * sd
    fan = fan_with(
        quantiles, forecast.levels, since_s, change, latency_s=traits.latency_s, duration_s=traits.duration_s
    )
    seen, middle = grid.seen(series), fan[:, fan.shape[1] // 2]
    half = np.where(seen > middle, fan[:, -1] - middle, middle - fan[:, 0])
    reach = np.abs(seen - middle) / np.maximum(half, LEAST_HALF_RATIO * max(1e-300, float(np.max(np.abs(fan)))))
    known = reach[np.isfinite(reach)]
    held = int((known <= estimand.fan_widening).sum())
    told = {"held": held, "seen": len(known), "change": change[0], "doubt": change[1]}
    return {"what_if": told | {"reach": known.round(2).tolist()}}


def evidence_of(
    act: MaturedAct, estimand: Estimand, effect: Effect, step_s: float, first_at: datetime, first_step: int = 0
) -> dict[str, Any]:
    """Return what is kept of any effect: over which steps it was measured, against what."""
    return {
        "forecast_cycle_id": estimand.forecast_cycle_id,
        "fixed_at": estimand.fixed_at.isoformat() if act.is_fixed else None,
        "step_s": step_s,
        "first_step": first_step,
        "first_at": first_at.isoformat(),
        "window_steps": effect.window_steps,
        "observed_steps": effect.observed_steps,
        "past_windows": number(effect.past_windows),
        "expected": number(effect.expected),
        "relative_ratio": number(effect.relative_ratio),
    }


def picture_of(observed: FloatArray, forecast: FloatArray, low: FloatArray, high: FloatArray) -> dict[str, Any]:
    """Return what a picture of an effect needs, all (steps,), as JSON can hold it: None for what is no number."""
    shown = {"observed": observed, "forecast": forecast, "low": low, "high": high}
    return {name: [number(float(value)) for value in values] for name, values in shown.items()}


def target_evidence(act: MaturedAct, estimand: Estimand, effect: Effect) -> dict[str, Any]:
    """Return what is kept beside that of the effect on what was aimed at."""
    return {
        "trigger": estimand.trigger,
        "triggered_windows": number(effect.triggered_windows),
        "controls": list(effect.controls_used),
        "predicted_sd_units": estimand.predicted_sd_units,
        "off_usual_sd": off_usual_sd(act.action, effect),
        "power_ratio": estimand.power_ratio,
        "detectable": estimand.detectable,
    }


def off_usual_sd(action: Action, effect: Effect) -> float:
    """Return how far a metric would have stood beyond its usual level over the window, at most as far as was foreseen.

    Of what an act brings back this is what it is a share of.
    """
    if action.usual is None or not effect.standard_error_sd_units > 0 or not np.isfinite(effect.expected):
        return action.off_usual_sd
    sd = effect.standard_error / effect.standard_error_sd_units
    beyond = (effect.expected - action.usual) / sd * (1 if action.side == "below" else -1)
    return min(action.off_usual_sd, max(beyond, FAR_SD))


def number(value: float) -> float | None:
    """Return a value, None where it is no number."""
    return float(value) if np.isfinite(value) else None
