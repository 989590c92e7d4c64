"""The measure stage: acts whose window has passed are judged by what was fixed before them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np

from storage.actions import ActionView
from storage.facts import EARLY_VERDICTS, ToldEarly
from storage.records import Action, Estimand, Outcome, Verdict
from tasks.context import Context
from tasks.interventions.act_window import EARLIEST_STEPS, WATCHED_STEPS, watched_between
from tasks.interventions.matured import MaturedAct, matured, under_way
from tasks.interventions.undo import may_try_again, may_undo_unasked, plan_undo
from tasks.learn import watch_depth
from tasks.measure.data_around_act import DataAroundAct
from tasks.measure.grid import MetricGrid
from tasks.measure.inference.early_verdict import EarlyVerdict, looks_of
from tasks.measure.inference.effect import Better, Effect
from tasks.measure.inference.many_metrics import Role
from tasks.measure.inference.watch_bound import WATCH_ALPHA, mixture_evidence, prior_evidence, z_of
from tasks.measure.judge import judge, judge_early, measured_apart, with_the_last
from tasks.measure.judge_amount import judge_amount
from tasks.measure.preregister import better_of, derive, graver, named, recorded
from tasks.monitor import LONGEST_STEP_S
from tasks.objectives.in_force import objectives_in_force
from tasks.stage import explanation, stage
from tasks.text import unit_of, value

Outcomes = tuple[Outcome, ...]

LATE_STEPS = 2
LATEST_LOOK = timedelta(hours=1)
"""How long after its time ran out an act is still undone: by then too much else may rest on it."""

NOTABLE_ERRORS = 0.5
"""From how many of its own standard errors off a forecast on a metric may have become worse."""

EVENT_STEPS, RARE_EVENTS_A_DAY = 2, 2
"""How near to an act's beginning an event may be what moved a metric, and how often its kind comes at most."""


def _summary(outcomes: Outcomes) -> Mapping[str, Any]:
    verdicts = [str(outcome.verdict) for outcome in outcomes if outcome.role == "target"]
    return {verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))}


@stage("measure", _summary)
def measure(context: Context) -> Outcomes:
    """Measure acts whose window has passed; undo at once what visibly made a guarded metric worse."""
    around, outcomes = DataAroundAct(context), list[Outcome]()
    for act in matured(context.store, context.tick, partial(derive, around)):
        judged = _judged(context, around, act)
        context.store.outcomes.append(judged, context.cycle_id)
        outcomes += judged
    undos = watch_guards(context, around)
    is_told = tell_early(context, around)
    watch_depth(context, is_news=bool(outcomes or undos or is_told))
    return tuple(outcomes)


def _judged(context: Context, around: DataAroundAct, act: MaturedAct) -> list[Outcome]:
    if act.action.is_middle_step:
        return [with_the_last(context, act)] if act.action.series else []
    return [judge_amount(context, act)] if act.action.series is None else judge(around, act)


def tell_early(context: Context, around: DataAroundAct) -> bool:
    """Tell people what is clear of acts whose window is not over yet; return whether anything is new.

    No size is learned from it: what stops when it is clear looks larger than it is; the window's end tells how large.
    """
    facts, running = context.store.facts, {act.action.action_id: act for act in under_way(context.store, context.tick)}
    before = facts.get(EARLY_VERDICTS) or {}
    told = {action_id: each for action_id, each in before.items() if action_id in running}
    for action_id, act in running.items():
        if action_id not in told and _is_look_due(around, act):
            found = explanation("what is clear of an act already", partial(judge_early, around, act), None)
            if found is not None:
                told[action_id] = _told(context, act, found)
                context.store.audit.append("loop", "told early", action_id, {"sentence": told[action_id].sentence})
    if told != before:
        facts.set(EARLY_VERDICTS, told)
    return bool(told.keys() - before.keys())


def _is_look_due(around: DataAroundAct, act: MaturedAct) -> bool:
    """Tell whether a look at an act fell due since acts were last looked at; values may come a step late."""
    assert act.estimand is not None
    step_s, begins_at = act.estimand.step_s, act.window.begins_at
    idle = around.context.actions[act.action.name].latency_s // step_s
    moments = (around.looked_at or begins_at, around.context.tick)
    before, now = ((moment - begins_at).total_seconds() / step_s - idle for moment in moments)
    return any(before - LATE_STEPS < look <= now for look in looks_of(act.estimand.window_steps)[:-1])


def _told(context: Context, act: MaturedAct, found: EarlyVerdict) -> ToldEarly:
    assert act.estimand is not None
    unit, of = unit_of(act.estimand.series), act.estimand.window_steps
    change, low, high = (value(each, unit, digits=3) for each in (found.estimate, found.low, found.high))
    sentence = (
        f"Clear after {found.steps} of {of} steps: {found.verdict}. {act.estimand.series} changed by {change} "
        f"({low} to {high} at every look). What is learned is the change over the whole window."
    )
    return ToldEarly(found.verdict, context.tick, found.steps, sentence)


def watch_guards(context: Context, around: DataAroundAct) -> list[Action]:
    """Plan the undo of recent acts that made a guarded metric, or their own, demonstrably worse; return the undos.

    An act is watched for the stabilisation time, as long as it works, and until a few steps were seen. One
    whose time ran out since the last look, as turns are late or were not run at all, is looked at once more.
    """
    longest_s = max(
        context.settings.executor.stabilisation_seconds,
        WATCHED_STEPS * LONGEST_STEP_S,
        *(handler.duration_s or 0.0 for handler in context.actions.values()),
    )
    since = context.tick - timedelta(seconds=longest_s) - LATEST_LOOK
    finished = context.store.actions.finished(since)
    undone = context.store.actions.undos_of([view.action.action_id for view in finished])
    planned = []
    for view in finished:
        if not may_undo_unasked(view, is_reversible=context.actions[view.action.name].reversible):
            continue
        undos = undone.get(view.action.action_id, [])
        if may_try_again(undos, context.tick) and (reason := _harm_of(around, view, undos)):
            planned.append(plan_undo(context, view, reason, tries_before=len(undos)))
    return planned


def _harm_of(around: DataAroundAct, view: ActionView, undos: Sequence[ActionView]) -> str:
    """Say why an act is to be undone; what was found once need not be found again where its undo was refused."""
    if undos and undos[-1].receipt is not None:
        is_left = around.context.tick <= _over_at(around.context, view, 0.0)
        return f"its undo was refused: {undos[-1].receipt.detail}" if is_left else ""
    return _worsened(around, view) or _worse_over_life(around, view)


def _worse_over_life(around: DataAroundAct, view: ActionView) -> str:
    """Say which metric an act makes worse over its whole time, by all that was seen of its action; empty where none."""
    context, action = around.context, view.action
    acts = [act for act in around.passing if act.action_id == action.action_id]
    estimand = context.store.outcomes.estimand(action.action_id)
    if not acts or estimand is None or _is_over(around, _over_at(context, view, 0.0)):
        return ""
    objectives = objectives_in_force(context.settings, context.store)
    guarded = {estimand.series, *estimand.guards, *graver(objectives, estimand.series, [act.series for act in acts])}
    steps_s = {name: f.step_s for name, f in around.forecasts(estimand.forecast_cycle_id, sorted(guarded)).items() if f}
    for act in acts:
        if act.series not in steps_s or (effects := around.effects_now(act.series, steps_s[act.series])) is None:
            continue
        mean, variance, prior = effects.over_life(act)
        is_worse = (mean > 0) == (better_of(objectives, act.series, action) == "lower")
        if is_worse and prior_evidence(mean, variance, prior) >= 1 / WATCH_ALPHA:
            change = value(abs(mean), unit_of(act.series), digits=3)
            rises = "raises" if mean > 0 else "lowers"
            return f"{act.series} got worse: {action.name} {rises} it by {change} while it works"
    return ""


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
    objectives = objectives_in_force(context.settings, context.store)
    endangered = graver(objectives, estimand.series, estimand.side_effects)
    if endangered and _something_happened(context, receipt.started_at, estimand.step_s):
        endangered = ()
    roles: dict[str, Role] = {
        **dict.fromkeys(endangered, "side_effect"),
        **dict.fromkeys(estimand.guards, "guard"),
        estimand.series: "target",
    }
    return _worse_by(around, view, estimand, roles)


def _something_happened(context: Context, at: datetime, step_s: float) -> bool:
    """Tell whether an event such as a release was recorded as an act began: what moved then may be its doing.

    Kinds of event that come several times a day are none.
    """
    near = timedelta(seconds=EVENT_STEPS * step_s)
    events = context.store.events.columns(at - timedelta(days=1), at + near)
    kinds = set(events["event_type"][events["ts"] >= np.datetime64((at - near).astimezone(UTC).replace(tzinfo=None))])
    return any(int((events["event_type"] == kind).sum()) <= RARE_EVENTS_A_DAY for kind in kinds)


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
    if _is_over(around, _over_at(context, view, LONGEST_STEP_S if estimand.guards else estimand.step_s)):
        return ""
    objectives = objectives_in_force(context.settings, context.store)
    better = {name: better_of(objectives, name, action) for name in roles}
    for grid in around.grids(estimand, receipt, roles, context.tick):
        watched = _watched(around, grid, view)
        if watched is None:
            continue
        suspects = {
            name: role for name, role in roles.items() if name in watched.series and _looks_worse(watched, name, better)
        }
        beside = sum(role == "side_effect" for role in roles.values())
        if suspects and (reason := _demonstrably(around, watched, view, suspects, better, estimand, beside)):
            return reason
    return ""


def _over_at(context: Context, view: ActionView, step_s: float) -> datetime:
    assert view.receipt is not None
    works_s = max(view.action.horizon_s, context.actions[view.action.name].duration_s or 0.0)
    return watched_between(view.receipt, context.settings.executor.stabilisation_seconds, [step_s], works_s)[1]


def _is_over(around: DataAroundAct, over_at: datetime) -> bool:
    """Tell whether that moment had passed when acts were last looked at, or passed too long ago."""
    tick = around.context.tick
    if tick <= over_at:
        return False
    return over_at <= tick - LATEST_LOOK or (around.looked_at is not None and over_at <= around.looked_at)


def _watched(around: DataAroundAct, grid: MetricGrid, view: ActionView) -> MetricGrid | None:
    """Return what was seen while an act was watched; None where that was over when it was last looked at."""
    over_at = _over_at(around.context, view, grid.any_forecast.step_s)
    if around.context.tick <= over_at:
        return grid
    return None if _is_over(around, over_at) else grid.up_to(over_at)


def _looks_worse(grid: MetricGrid, series: str, better: Mapping[str, Better]) -> bool:
    """Tell whether enough was seen, and the metric went the wrong way: only then the past is asked how sure that is.

    To ask it takes longer than all else in a turn; what the forecast itself was no surer of can hardly be sure harm.
    """
    missed = grid.seen(series) - grid.point(series)
    seen = np.isfinite(missed)
    if seen.sum() < EARLIEST_STEPS:
        return False
    worse = missed[seen].mean() * (1 if better[series] == "lower" else -1)
    return bool(worse > NOTABLE_ERRORS * grid.foretold_error(series)[seen].mean())


def _demonstrably(
    around: DataAroundAct,
    grid: MetricGrid,
    view: ActionView,
    suspects: Mapping[str, Role],
    better: Mapping[str, Better],
    estimand: Estimand,
    beside: int,
) -> str:
    """Say which suspect got worse, and by what evidence; `beside` is how many side effects are looked at in all."""
    assert view.receipt is not None
    windows = around.windows(grid, view.action, view.receipt, around.context.tick, suspects, better, estimand)
    effects = measured_apart([grid], windows)
    # Nobody asked to watch side effects: a false alarm is to be as seldom in all of them together as in one guard.
    looked = {name: beside if role == "side_effect" else 1 for name, role in suspects.items()}
    worse = (name for name, effect in effects.items() if _is_surely_worse(effect, looked[name]))
    first = next((name for name in worse if effects[name].observed_steps >= EARLIEST_STEPS), None)
    return f"{first} got worse: {effects[first].reason}" if first else ""


def _is_surely_worse(effect: Effect, looked: int) -> bool:
    """Tell whether harm is sure although it was looked for every turn, in so many metrics."""
    if effect.verdict is not Verdict.WORSE:
        return False
    spread_ratio = 1 / max(effect.standard_error_sd_units, 1e-6)
    return mixture_evidence(z_of(effect.p_value), spread_ratio) >= looked / WATCH_ALPHA
