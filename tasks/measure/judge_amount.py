"""Judge one act that set an amount, by what drives its metric as it came after the act."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from math import ceil
from typing import Any

import numpy as np

from storage.records import Estimand, HeldAmount, Outcome, Verdict
from tasks.context import Context
from tasks.drivers.responses import Response
from tasks.interventions.matured import MaturedAct
from tasks.measure.amount_history import history_of, names_of, response_to
from tasks.measure.inference.amount_effect import DrivenHistory, at_old_amount, held_ledger, measure_amount
from tasks.measure.inference.effect import Effect
from tasks.measure.judge import evidence_of, outcome_of, picture_of, target_evidence
from tasks.objectives.in_force import objectives_in_force


def judge_amount(context: Context, act: MaturedAct) -> Outcome:
    """Return what an act that set an amount changed."""
    estimand, held = act.estimand, act.estimand.held if act.estimand else None
    assert estimand is not None
    assert held is not None
    objective = next(
        (each for each in objectives_in_force(context.settings, context.store) if each.name == held.objective), None
    )
    names = names_of(context, objective) if objective is not None else None
    if objective is None or names is None:
        gone = f"the objective {held.objective} or one of its series no longer exists"
        return outcome_of(context, act, estimand.series, Effect(Verdict.UNKNOWN, gone), {})
    window = act.window
    past = history_of(
        context,
        objective,
        names,
        window.last_step_at,
        estimand.step_s,
        settling_s=context.actions[act.action.name].latency_s,
        judged=window.steps,
        since_act=ceil((window.last_step_at - act.receipt.started_at).total_seconds() / estimand.step_s),
    )
    response = response_to(objective, past)
    if response is None:
        unknown = f"there is too little data to tell how {objective.measured} follows from {objective.driver}"
        return outcome_of(context, act, estimand.series, Effect(Verdict.INCONCLUSIVE, unknown), {})
    effect = _effect(act, past, response, estimand, held)
    compared = f"compared with {objective.capacity} = {held.amount:g} under the same {objective.driver}"
    effect = replace(effect, reason=f"{effect.reason}; {compared}")
    return outcome_of(context, act, estimand.series, effect, _evidence(act, effect, past, response, estimand, held))


def _effect(act: MaturedAct, past: DrivenHistory, response: Response, estimand: Estimand, held: HeldAmount) -> Effect:
    return measure_amount(
        past,
        response,
        held.amount,
        float(act.action.params["amount"]),
        better=estimand.better,
        window_steps=min(estimand.window_steps, act.window.steps),
        trigger=estimand.trigger,
        confidence=estimand.confidence,
        alpha=estimand.alpha,
    )


def _evidence(
    act: MaturedAct, effect: Effect, past: DrivenHistory, response: Response, estimand: Estimand, held: HeldAmount
) -> dict[str, Any]:
    """Return what a picture of the outcome needs: what came, and what would have come, within what was seen before."""
    expected = at_old_amount(past, response, held.amount)
    missed = held_ledger(past, response).errors
    low, high = np.nanquantile(missed, (0.05, 0.95)) if np.isfinite(missed).any() else (np.nan, np.nan)
    first_at = past.end - timedelta(seconds=estimand.step_s * (len(expected) - 1))
    return {
        **evidence_of(act, estimand, effect, estimand.step_s, first_at),
        **target_evidence(act, estimand, effect),
        "held": held.model_dump(),
        **picture_of(past.metric[past.first :], expected, expected + low, expected + high),
    }
