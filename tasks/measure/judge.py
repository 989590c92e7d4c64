"""Judge one act: its effect on its target, its guards and everything else that was forecast, as outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from storage.actions import ActionView
from storage.records import Action, Estimand, Outcome, Receipt, ReceiptStatus, Verdict, stable_id
from tasks.context import Context
from tasks.measure.data_around_act import DataAroundAct
from tasks.measure.grid import MetricGrid
from tasks.measure.inference.claims import Claim, check_claims
from tasks.measure.inference.effect import Better, Effect
from tasks.measure.inference.many_metrics import MetricWindow, Role, measure_many
from tasks.measure.preregister import better_of, derive
from tasks.objectives.in_force import objectives_in_force

MOST_PATIENCE_S = 3_600.0
NO_FORECAST = "no forecast from before the action covers this series and time"
CHOSEN_AFTERWARDS = (
    "the estimand recorded before the action is missing or unreadable: the window follows from what was known then"
)


@dataclass(frozen=True)
class Judged:
    """An act to be judged: what it is judged by, until when, and the metrics around it, grouped by step."""

    action: Action
    receipt: Receipt
    estimand: Estimand | None
    is_fixed: bool
    until: datetime
    grids: tuple[MetricGrid, ...]

    @property
    def target(self) -> MetricGrid | None:
        """Return the grid that holds the target; None where nothing was forecast of it."""
        return next((grid for grid in self.grids if self.action.series in grid.forecasts), None)


def judged(around: DataAroundAct, view: ActionView) -> Judged | None:
    """Return an act whose time has come; None while its window lasts, or late values may still arrive.

    Values are waited for as long as the window was, an hour at most: after that, what is missing stays missing.
    """
    action, receipt = view.action, view.receipt
    assert receipt is not None
    tick = around.context.tick
    until = ends_at(around.context, action, receipt)
    if until > tick:
        return None
    estimand = around.context.store.outcomes.estimand(action.action_id)
    used = estimand or derive(around, action, receipt.started_at)
    names = (used.series, *used.guards, *used.side_effects, *used.controls) if used else ()
    grids = tuple(around.grids(used, receipt, names, until)) if used else ()
    found = Judged(action, receipt, used, estimand is not None, until, grids)
    return None if _must_wait(found, tick) else found


def _must_wait(found: Judged, tick: datetime) -> bool:
    """Tell whether the target's last step is still to end, or its value may still arrive."""
    grid = found.target
    if grid is None:
        return False
    end = max(found.until, grid.ends_at)
    patience_s = min(MOST_PATIENCE_S, max(found.action.horizon_s, 2 * grid.any_forecast.step_s))
    is_late = not np.isfinite(grid.seen(str(found.action.series))[-1])
    return tick < end or (is_late and tick < end + timedelta(seconds=patience_s))


def ends_at(context: Context, action: Action, receipt: Receipt) -> datetime:
    """Return when the window of an act ends: after its horizon, or when the act was undone."""
    end = receipt.finished_at + timedelta(seconds=action.horizon_s)
    undo = context.store.actions.undo_for(action.action_id)
    undone = undo.receipt if undo else None
    if undone is None or undone.status is not ReceiptStatus.SUCCEEDED:
        return end
    return max(receipt.finished_at, min(end, undone.started_at))


def outcomes_of(around: DataAroundAct, found: Judged) -> list[Outcome]:
    """Return what an act changed on every metric, its target first."""
    windows, grids = _windows(around, found)
    confidence = {} if found.estimand is None else _level(found.estimand)
    effects = measure_many(windows, **confidence)
    claims = {each.metric: each for each in check_claims(found.receipt.claimed_impact, _by_claim(found, effects))}
    target = str(found.action.series)
    unknown = Effect(Verdict.UNKNOWN, NO_FORECAST)
    wanted = {target: "target", **dict.fromkeys(found.estimand.guards if found.estimand else (), "guard")}
    roles: dict[str, Any] = {**wanted, **{window.name: window.role for window in windows}}
    return [
        _outcome(around.context, found, name, role, effects.get(name, unknown), grids.get(name), claims)
        for name, role in roles.items()
    ]


def _level(estimand: Estimand) -> dict[str, float]:
    return {"confidence": estimand.confidence, "alpha": estimand.alpha}


def _windows(around: DataAroundAct, found: Judged) -> tuple[list[MetricWindow], dict[str, MetricGrid]]:
    estimand, windows, grids = found.estimand, list[MetricWindow](), dict[str, MetricGrid]()
    if estimand is None:
        return windows, grids
    roles: dict[str, Role] = {
        **dict.fromkeys(estimand.side_effects, "side_effect"),
        **dict.fromkeys(estimand.guards, "guard"),
        estimand.series: "target",
    }
    better = _better(around.context, found.action, roles)
    for grid in found.grids:
        windows += around.windows(
            grid,
            found.action,
            found.receipt,
            found.until,
            roles,
            better,
            estimand,
            window_s=estimand.window_steps * estimand.step_s,
        )
        grids |= dict.fromkeys(grid.series, grid)
    return windows, grids


def _better(context: Context, action: Action, names: Mapping[str, Role]) -> dict[str, Better]:
    objectives = objectives_in_force(context.settings, context.store)
    return {name: better_of(objectives, name, action) for name in names}


def _by_claim(found: Judged, effects: Mapping[str, Effect]) -> dict[str, Effect]:
    """Return the effects under the names by which the handler claims: a series, or a metric with one series."""
    named = dict(effects)
    for name in found.receipt.claimed_impact:
        same = [series for series in effects if series.partition("{")[0] == name]
        target = str(found.action.series)
        if name not in named and same:
            named[name] = effects[target if target in same else same[0]]
    return named


def _outcome(
    context: Context,
    found: Judged,
    series: str,
    role: Any,
    effect: Effect,
    grid: MetricGrid | None,
    claims: Mapping[str, Claim],
) -> Outcome:
    claim = claims.get(series, claims.get(series.partition("{")[0]))
    evidence = _evidence(found, series, role, effect, grid)
    if claim is not None:
        evidence["claim"] = asdict(claim) | {"measured_ratio": number(claim.measured_ratio)}
    if role == "target" and claims:
        evidence["claims"] = {name: {"agreement": c.agreement, "statement": c.statement} for name, c in claims.items()}
    return outcome_of(context, found, series, effect, evidence, role=role, claim=claim)


def outcome_of(
    context: Context,
    found: Judged,
    series: str,
    effect: Effect,
    evidence: dict[str, Any],
    *,
    role: Role = "target",
    claim: Claim | None = None,
) -> Outcome:
    """Return an effect on one metric as the outcome that is kept."""
    action, receipt = found.action, found.receipt
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
        horizon_s=(found.until - receipt.finished_at).total_seconds(),
        estimate=number(effect.estimate),
        low=number(effect.low),
        high=number(effect.high),
        standard_error=number(effect.standard_error),
        p_value=number(effect.p_value),
        effect_sd_units=number(effect.effect_sd_units),
        standard_error_sd_units=number(effect.standard_error_sd_units),
        verdict=effect.verdict,
        reason="; ".join([effect.reason, *_remarks(found, effect, claim)]),
        propensity=action.propensity,
        claimed=number(claim.claimed_ratio) if claim else None,
        status=receipt.status,
        duration_s=receipt.duration_s,
        evidence=evidence,
    )


def _remarks(found: Judged, effect: Effect, claim: Claim | None) -> list[str]:
    """Say what a reader must know beside the number."""
    said = []
    if effect.is_measured and effect.observed_steps < effect.window_steps:
        said.append(f"only {effect.observed_steps} of {effect.window_steps} steps after the action were observed")
    if found.estimand is not None and not found.is_fixed:
        said.append(CHOSEN_AFTERWARDS)
    if claim is not None and claim.agreement == "contradicts":
        said.append(f"the handler {claim.statement}: the measurement counts")
    return said


def _evidence(found: Judged, series: str, role: str, effect: Effect, grid: MetricGrid | None) -> dict[str, Any]:
    estimand = found.estimand
    if estimand is None or grid is None:
        return {}
    told: dict[str, Any] = {
        "forecast_cycle_id": estimand.forecast_cycle_id,
        "fixed_at": estimand.fixed_at.isoformat() if found.is_fixed else None,
        "step_s": grid.any_forecast.step_s,
        "first_step": grid.first_step,
        "first_at": grid.any_forecast.at_step(grid.first_step).isoformat(),
        "window_steps": effect.window_steps,
        "observed_steps": effect.observed_steps,
        "past_windows": number(effect.past_windows),
        "expected": number(effect.expected),
        "relative_ratio": number(effect.relative_ratio),
    }
    is_worth_a_picture = role != "side_effect" or effect.verdict in {Verdict.IMPROVED, Verdict.WORSE}
    if is_worth_a_picture:
        low, high = grid.band(series)
        shown = {"observed": grid.seen(series), "forecast": grid.point(series), "low": low, "high": high}
        told |= {name: numbers(values) for name, values in shown.items()}
    if role == "target":
        told |= {
            "trigger": estimand.trigger,
            "triggered_windows": number(effect.triggered_windows),
            "controls": list(effect.controls_used),
            "predicted_sd_units": estimand.predicted_sd_units,
        }
    return told


def numbers(values: Sequence[float] | np.ndarray[Any, Any]) -> list[float | None]:
    """Return values as JSON can hold them: None in the place of what is no number."""
    return [number(float(value)) for value in values]


def number(value: float) -> float | None:
    """Return a value, None where it is no number."""
    return float(value) if np.isfinite(value) else None
