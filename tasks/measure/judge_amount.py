"""Judge one act that set an amount, by what drives its metric as it came after the act."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import ceil
from typing import Any

import numpy as np

from storage.actions import ActionView
from storage.records import Estimand, Objective, Outcome, Verdict
from tasks.context import Context
from tasks.drivers.responses import Response
from tasks.measure.amount_history import history_of, names_of, response_to
from tasks.measure.inference.amount_effect import DrivenHistory, at_old_amount, held_ledger, measure_amount
from tasks.measure.inference.effect import Effect
from tasks.measure.judge import MOST_PATIENCE_S, Judged, ends_at, number, numbers, outcome_of
from tasks.objectives.in_force import objectives_in_force


def judge_amount(context: Context, view: ActionView, estimand: Estimand) -> Outcome | None:
    """Return what an act that set an amount changed; None while its window lasts, or late values may still arrive."""
    receipt, held = view.receipt, estimand.held
    assert receipt is not None
    assert held is not None
    begins = receipt.finished_at + timedelta(seconds=held.begins_after_s)
    end = begins + timedelta(seconds=estimand.step_s * estimand.horizon_steps)
    if context.tick < end:
        return None
    found = Judged(view.action, receipt, estimand, True, ends_at(context, view.action, receipt), ())
    objective = next(
        (each for each in objectives_in_force(context.settings, context.store) if each.name == held.objective), None
    )
    names = names_of(context, objective) if objective is not None else None
    if objective is None or names is None:
        gone = f"the objective {held.objective} or one of its series no longer exists"
        return outcome_of(context, found, estimand.series, Effect(Verdict.UNKNOWN, gone), {})
    past = history_of(
        context,
        objective,
        names,
        end,
        estimand.step_s,
        settling_s=context.latency_s(view.action.name),
        judged=estimand.horizon_steps,
        since_act=ceil((end - receipt.started_at).total_seconds() / estimand.step_s),
    )
    if not np.isfinite(past.metric[-1]) and context.tick < end + timedelta(seconds=_patience_s(estimand)):
        return None
    return _outcome(context, found, past, response_to(objective, past), objective)


def _outcome(
    context: Context, found: Judged, past: DrivenHistory, response: Response | None, objective: Objective
) -> Outcome:
    estimand = found.estimand
    assert estimand is not None
    assert estimand.held is not None
    if response is None:
        unknown = f"there is too little data to tell how {objective.measured} follows from {objective.driver}"
        return outcome_of(context, found, estimand.series, Effect(Verdict.INCONCLUSIVE, unknown), {})
    effect = measure_amount(
        past,
        response,
        estimand.held.amount,
        float(found.action.params["amount"]),
        better=estimand.better,
        window_steps=estimand.window_steps,
        trigger=estimand.trigger,
        confidence=estimand.confidence,
        alpha=estimand.alpha,
    )
    told = f"{effect.reason}; compared with {objective.capacity} = {estimand.held.amount:g} under the same"
    effect = replace(effect, reason=f"{told} {objective.driver}")
    return outcome_of(context, found, estimand.series, effect, _evidence(estimand, effect, past, response))


def _evidence(estimand: Estimand, effect: Effect, past: DrivenHistory, response: Response) -> dict[str, Any]:
    """Return what a picture of the outcome needs: what came, and what would have come, within what was seen before."""
    assert estimand.held is not None
    expected = at_old_amount(past, response, estimand.held.amount)
    missed = held_ledger(past, response).errors
    low, high = np.nanquantile(missed, (0.05, 0.95)) if np.isfinite(missed).any() else (np.nan, np.nan)
    shown = {
        "observed": past.metric[past.first :],
        "forecast": expected,
        "low": expected + low,
        "high": expected + high,
    }
    return {
        "forecast_cycle_id": estimand.forecast_cycle_id,
        "fixed_at": estimand.fixed_at.isoformat(),
        "step_s": estimand.step_s,
        "first_step": 0,
        "first_at": (past.end - timedelta(seconds=estimand.step_s * (len(expected) - 1))).isoformat(),
        "window_steps": effect.window_steps,
        "observed_steps": effect.observed_steps,
        "past_windows": number(effect.past_windows),
        "expected": number(effect.expected),
        "relative_ratio": number(effect.relative_ratio),
        "trigger": estimand.trigger,
        "triggered_windows": number(effect.triggered_windows),
        "controls": [],
        "predicted_sd_units": estimand.predicted_sd_units,
        "held": estimand.held.model_dump(),
        **{name: numbers(values) for name, values in shown.items()},
    }


def _patience_s(estimand: Estimand) -> float:
    return min(MOST_PATIENCE_S, max(estimand.step_s * estimand.horizon_steps, 2 * estimand.step_s))
