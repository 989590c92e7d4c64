"""The measure stage: acts whose window has passed are judged by what was fixed before them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import numpy as np

from storage.actions import ActionView
from storage.records import Action, Estimand, Outcome, Receipt, Verdict
from tasks.context import Context
from tasks.interventions.act_window import EARLIEST_STEPS, WATCHED_STEPS, watched_between
from tasks.interventions.matured import matured
from tasks.interventions.undo import may_undo_unasked, undo_of
from tasks.measure.data_around_act import DataAroundAct
from tasks.measure.grid import MetricGrid
from tasks.measure.inference.effect import Better
from tasks.measure.inference.many_metrics import Role, measure_many
from tasks.measure.judge import judge
from tasks.measure.judge_amount import judge_amount
from tasks.measure.preregister import better_of, derive, named, recorded
from tasks.monitor import LONGEST_STEP_S
from tasks.objectives.in_force import objectives_in_force
from tasks.stage import stage

Outcomes = tuple[Outcome, ...]

LATEST_LOOK = timedelta(hours=1)
"""How long after its time ran out an act is still undone: by then too much else may rest on it."""


def _summary(outcomes: Outcomes) -> Mapping[str, Any]:
    verdicts = [str(outcome.verdict) for outcome in outcomes if outcome.role == "target"]
    return {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))}


@stage("measure", _summary)
def measure(context: Context) -> Outcomes:
    """Measure acts whose window has passed; undo at once what visibly made a guarded metric worse."""
    around, outcomes = DataAroundAct(context), list[Outcome]()
    for act in matured(context.store, context.tick, partial(derive, around)):
        judged = [judge_amount(context, act)] if act.action.series is None else judge(around, act)
        context.store.outcomes.append(judged, context.cycle_id)
        outcomes += judged
    watch_guards(context, around)
    return tuple(outcomes)


def watch_guards(context: Context, around: DataAroundAct) -> None:
    """Plan the undo of recent acts that made a guarded metric, or their own, demonstrably worse.

    An act is watched for the stabilisation time, and for as long as it takes to see a few steps of the metric. One
    whose time ran out since the last look, as turns are late or were not run at all, is looked at once more.
    """
    longest_s = max(context.settings.executor.stabilisation_seconds, WATCHED_STEPS * LONGEST_STEP_S)
    since = context.tick - timedelta(seconds=longest_s) - LATEST_LOOK
    for view in context.store.actions.finished(since):
        may_undo = may_undo_unasked(view, is_reversible=context.actions[view.action.name].reversible)
        if not may_undo or context.store.actions.undo_for(view.action.action_id):
            continue
        if reason := _worsened(around, view):
            plan_undo(context, view, reason)


def _worsened(around: DataAroundAct, view: ActionView) -> str:
    """Say which watched metric got worse, and by what evidence; empty where none did."""
    context, action, receipt = around.context, view.action, view.receipt
    assert receipt is not None
    if action.series is None:
        # What an amount does to its metric is told by the driver, not by the metric's own forecast: its guards remain.
        alone = (derive(around, aimed, receipt.started_at) for aimed in _at_each_guard(context, action))
        reasons = (_worse_by(around, view, each, {each.series: "guard"}) for each in alone if each is not None)
        return next(filter(None, reasons), "")
    estimand = context.store.outcomes.estimand(action.action_id) or derive(around, action, receipt.started_at)
    if estimand is None:
        return ""
    roles: dict[str, Role] = {**dict.fromkeys(estimand.guards, "guard"), estimand.series: "target"}
    return _worse_by(around, view, estimand, roles)


def _at_each_guard(context: Context, action: Action) -> list[Action]:
    """Return an act that aims at no metric as if it aimed at each of its guards in turn."""
    guards = named(action.guards, recorded(context, action))
    return [action.model_copy(update={"series": name, "guards": ()}) for name in guards]


def _worse_by(around: DataAroundAct, view: ActionView, estimand: Estimand, roles: Mapping[str, Role]) -> str:
    context, action, receipt = around.context, view.action, view.receipt
    assert receipt is not None
    age_s = (context.tick - receipt.finished_at).total_seconds()
    if not estimand.guards and age_s < EARLIEST_STEPS * estimand.step_s:
        return ""
    if _is_over(around, _over_at(context, receipt, LONGEST_STEP_S if estimand.guards else estimand.step_s)):
        return ""
    objectives = objectives_in_force(context.settings, context.store)
    better = {name: better_of(objectives, name, action) for name in roles}
    for grid in around.grids(estimand, receipt, roles, context.tick):
        watched = _watched(around, grid, receipt)
        if watched is None:
            continue
        suspects = {
            name: role for name, role in roles.items() if name in watched.series and _looks_worse(watched, name, better)
        }
        if suspects and (reason := _demonstrably(around, watched, view, suspects, better, estimand)):
            return reason
    return ""


def _over_at(context: Context, receipt: Receipt, step_s: float) -> datetime:
    return watched_between(receipt, context.settings.executor.stabilisation_seconds, [step_s])[1]


def _is_over(around: DataAroundAct, over_at: datetime) -> bool:
    """Tell whether that moment had passed when acts were last looked at, or passed too long ago."""
    tick = around.context.tick
    if tick <= over_at:
        return False
    return over_at <= tick - LATEST_LOOK or (around.looked_at is not None and over_at <= around.looked_at)


def _watched(around: DataAroundAct, grid: MetricGrid, receipt: Receipt) -> MetricGrid | None:
    """Return what was seen while an act was watched; None where that was over when it was last looked at."""
    over_at = _over_at(around.context, receipt, grid.any_forecast.step_s)
    if around.context.tick <= over_at:
        return grid
    return None if _is_over(around, over_at) else grid.up_to(over_at)


def _looks_worse(grid: MetricGrid, series: str, better: Mapping[str, Better]) -> bool:
    """Tell whether enough was seen, and the metric went the wrong way: only then the past is asked how sure that is."""
    missed = grid.seen(series) - grid.point(series)
    seen = np.isfinite(missed)
    if seen.sum() < EARLIEST_STEPS:
        return False
    return bool((missed[seen].mean() > 0) == (better[series] == "lower"))


def _demonstrably(
    around: DataAroundAct,
    grid: MetricGrid,
    view: ActionView,
    suspects: Mapping[str, Role],
    better: Mapping[str, Better],
    estimand: Estimand,
) -> str:
    assert view.receipt is not None
    windows = around.windows(grid, view.action, view.receipt, around.context.tick, suspects, better, estimand)
    effects = measure_many(windows)
    worse = (name for name, effect in effects.items() if effect.verdict is Verdict.WORSE)
    first = next((name for name in worse if effects[name].observed_steps >= EARLIEST_STEPS), None)
    return f"{first} got worse: {effects[first].reason}" if first else ""


def plan_undo(context: Context, view: ActionView, reason: str) -> Action:
    """Record that an act is to be undone now; undoing is done, guarded and recorded like any action."""
    action = view.action
    undo = undo_of(view, context.tick, is_reversible=context.actions[action.name].reversible)
    context.store.actions.append([undo], context.cycle_id)
    detail = {"action": action.name, "target": action.target, "goal": action.goal_id, "reason": reason}
    context.store.audit.append("loop", "undo planned", action.action_id, detail)
    return undo
