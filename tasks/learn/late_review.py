"""What comes late: policies are learned once a day from logged choices, judged, and handed to the planner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import exp, isfinite

import numpy as np

from storage.actions import ActionView
from storage.decisions import LoggedChoice
from storage.facts import LATE_POLICIES, LateStanding
from storage.records import FloatArray, Frame, Goal, GoalType, GoalView
from tasks.context import Context
from tasks.excess import excess_of
from tasks.learn.late.admission import judge_late, look_due
from tasks.learn.late.advice import LateAdvice
from tasks.learn.late.choice_log import LateState, log_of
from tasks.learn.late.fitted_q import LatePolicy, fit
from tasks.learn.late.sequential_value import evaluate_late
from tasks.maintenance import hour_of_day

LOOK_BACK = timedelta(days=60)
EVERY = timedelta(days=1)
STEP_S = 300.0
MOST_SERIES = 50


def is_off(context: Context) -> bool:
    """Tell whether nothing is logged or learned of late effects."""
    options = context.settings.executor
    return options.late_effects == "off" or not options.enable_learning or options.dry_run


def late_advice(
    context: Context,
    goals: Sequence[GoalView],
    frames: Sequence[Frame],
    sd: Mapping[str, float],
    acts: Sequence[ActionView],
) -> LateAdvice | None:
    """Return what was learned, and where each goal with a bound stands now; None where it is switched off."""
    if is_off(context):
        return None
    kept = context.store.facts.matching(LATE_POLICIES)
    values = _newest(frames, {view.goal.series for view in goals})
    horizon_s = context.settings.executor.late_effects_hours * 3_600
    hour = hour_of_day(context.tick.timestamp(), context.zone)
    states = {
        view.goal.goal_id: LateState(excess, hour, _recent(acts, view.goal, context.tick, horizon_s))
        for view in goals
        if (excess := _excess(view.goal, values, sd)) is not None
    }
    return LateAdvice(
        {GoalType(kind): policy_of(each) for kind, each in kept.items() if each.weights},
        frozenset(GoalType(kind) for kind, each in kept.items() if each.is_admitted),
        states,
        context.settings.executor.late_effects == "act",
    )


def policy_of(standing: LateStanding) -> LatePolicy:
    """Return the policy that was kept."""
    return LatePolicy(standing.arms, np.array(standing.weights), np.array(standing.covariance))


def _newest(frames: Sequence[Frame], wanted: set[str | None]) -> dict[str, float]:
    """Return the newest value of each wanted series that has one."""
    newest: dict[str, float] = {}
    for frame in frames:
        for place, name in enumerate(frame.series):
            if name in wanted and len(seen := frame.values[place][np.isfinite(frame.values[place])]):
                newest[name] = float(seen[-1])
    return newest


def _excess(goal: Goal, values: Mapping[str, float], sd: Mapping[str, float]) -> float | None:
    """Return how far a goal's metric is beyond its bound, in sd; None where that cannot be told."""
    value, spread = values.get(goal.series or ""), sd.get(goal.series or "", 0.0)
    if value is None or goal.bound is None or not spread > 0:
        return None
    away = float(excess_of(np.asarray(value), goal.bound, goal.side, spread))
    return away if isfinite(away) else None


def _recent(acts: Sequence[ActionView], goal: Goal, tick: datetime, horizon_s: float) -> dict[str, float]:
    """Return by action the acts on a goal's series, each counting less with every hour since."""
    recent: dict[str, float] = {}
    for view in acts:
        if view.action.series == goal.series and view.action.undo_of is None and (receipt := view.touched):
            age_s = (tick - receipt.finished_at).total_seconds()
            recent[view.action.name] = recent.get(view.action.name, 0.0) + exp(-age_s / horizon_s)
    return recent


def review_late(context: Context) -> None:
    """Learn anew, and judge, each type of goal of which a day has passed or choices have doubled."""
    if is_off(context):
        return
    kept = context.store.facts.matching(LATE_POLICIES)
    for goal_type, count in context.store.choices.counts().items():
        before = kept.get(goal_type)
        looks = before.looks if before else 0
        is_older = before is None or context.tick >= before.at + EVERY
        if count != (before.choices if before else 0) and (look_due(count, looks) or (before and is_older)):
            _review(context, goal_type, before, count)


def _review(context: Context, goal_type: GoalType, before: LateStanding | None, count: int) -> None:
    horizon_s = context.settings.executor.late_effects_hours * 3_600
    choices = context.store.choices.newest(goal_type, context.tick - LOOK_BACK)
    log = log_of(choices, _values(context, choices), horizon_s)
    if not len(log):
        return
    until_s = context.tick.timestamp()
    admitted_s = before.since.timestamp() if before and before.is_admitted and before.since else None
    value = evaluate_late(log, horizon_s, until_s)
    since = evaluate_late(log, horizon_s, until_s, admitted_s) if admitted_s is not None else None
    verdict, policy = judge_late(before, count, value, since), fit(log)
    was_admitted = before is not None and before.is_admitted
    standing = LateStanding(
        at=context.tick,
        choices=count,
        looks=verdict.looks,
        is_admitted=verdict.is_admitted,
        since=before.since if before and was_admitted == verdict.is_admitted else context.tick,
        mean_h=value.mean if value else None,
        low_h=verdict.low,
        differing=value.differing if value else 0,
        followed=value.followed if value else 0,
        sentence=verdict.sentence,
        arms=policy.arms,
        weights=policy.weights.tolist(),
        covariance=policy.covariance.tolist(),
    )
    context.store.facts.set(LATE_POLICIES.of(goal_type), standing)
    if was_admitted != verdict.is_admitted:
        verb = "late policy admitted" if verdict.is_admitted else "late policy taken back"
        detail = {"reason": verdict.sentence, "choices": count, "acts": context.settings.executor.late_effects == "act"}
        context.store.audit.append("loop", verb, str(goal_type), detail)


def _values(context: Context, choices: Sequence[LoggedChoice]) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return what was measured of the series that were chosen for, since the first choice, in steps of five minutes."""
    names = sorted({each.series for each in choices})[:MOST_SERIES]
    if not names:
        return {}
    steps = int((context.tick - choices[0].at).total_seconds() // STEP_S) + 1
    frame = context.store.samples.frame(names, context.tick, STEP_S, steps)
    at_s = context.tick.timestamp() - STEP_S * np.arange(steps - 1, -1, -1.0)
    return {name: (at_s, frame.row(name)) for name in names}
