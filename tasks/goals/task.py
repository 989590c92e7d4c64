"""The goal stage: rules compare what is foretold with what is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from storage.facts import DRIVEN, STANDINGS, DrivenBreaches
from storage.records import Breach, Frame, Goal, GoalState, GoalView, Objective, Pattern
from tasks.causes.in_force import with_causes
from tasks.context import Context
from tasks.drivers.breaches import driven_breaches
from tasks.drivers.in_force import amounts_now, look_for_drivers, said_of_found
from tasks.drivers.settable_amounts import AmountsNow, amount_steps, foretold, spare_amounts
from tasks.forecast import Outlook
from tasks.goals.changes import GoalChanges
from tasks.goals.evidence import Evidence, WindowCount
from tasks.goals.setting import set_goals
from tasks.goals.statistics.burn import BurnWindows, burn_windows
from tasks.growth import counts_up, is_named_as_counter
from tasks.objectives.lateness import VAIN_S, LateRun, Warned, late_breach, late_runs
from tasks.objectives.ratios import ratio_pairs
from tasks.objectives.run_history import STATE_OF, RunHistory, run_history
from tasks.stage import stage

LONG_DAYS = 62
RECENT_DAYS = 2
MOST_RUNS = 200
MOST_WARNED = 500
COUNTER_STEP_S, COUNTER_STEPS = 900.0, 192

GoalViews = tuple[GoalView, ...]


def _summary(goals: GoalViews) -> Mapping[str, Any]:
    return {"open": len(goals), "goals": [f"{view.goal.goal_type}: {view.goal.description}" for view in goals[:20]]}


@stage("goals", _summary)
def goals(context: Context, outlook: Outlook, patterns: tuple[Pattern, ...]) -> GoalViews:
    """Review the open goals, set new ones, and return those that ask for something."""
    context = context.within_shares()
    if context.settings.forecasting.goal_setter.auto_goal_setting:
        evidence_now = evidence(context, outlook, patterns)
        _keep_driven(context, outlook, evidence_now.breaches)
        changes = decide(context, evidence_now)
        changes = replace(changes, new=with_causes(context, changes.new, outlook.frames))
        context.store.goals.append(changes.new, changes.transitions, context.cycle_id)
        for goal in changes.new:
            detail = {"type": goal.goal_type, "description": goal.description, "because": goal.because}
            context.store.audit.append("loop", "goal set", goal.goal_id, detail)
        open_views = _lately(context)[0]
        _keep_standings(context, open_views, changes)
        return tuple(_on_member(view, changes) for view in open_views)
    return tuple(_lately(context)[0])


def _keep_standings(context: Context, open_views: list[GoalView], changes: GoalChanges) -> None:
    """Keep how the open goals stand now, to be shown: their history holds only what was news."""
    ids = [view.goal.goal_id for view in open_views]
    statements = {each: changes.standings[each].statement for each in ids if each in changes.standings}
    if statements != (context.store.facts.get(STANDINGS) or {}):
        context.store.facts.set(STANDINGS, statements)


def _on_member(view: GoalView, changes: GoalChanges) -> GoalView:
    """Return a goal with several members as one about the member that is to be acted on next."""
    standing = changes.standings.get(view.goal.goal_id)
    if standing is None or standing.series is None:
        return view
    return view.model_copy(update={"goal": view.goal.model_copy(update={"series": standing.series})})


def _keep_driven(context: Context, outlook: Outlook, breaches: tuple[Breach, ...]) -> None:
    """Keep what the drivers foretell, to be shown: what the metrics' own forecasts say has our acts in it."""
    own = frozenset(outlook.breaches)
    driven = tuple(each for each in breaches if each not in own)
    if driven:
        context.store.facts.set(DRIVEN, DrivenBreaches(context.cycle_id, driven))


def decide(context: Context, evidence_now: Evidence) -> GoalChanges:
    """Let the rules speak on the evidence; a goal says which driver was found, or why it has no response."""
    changes = set_goals(
        evidence_now,
        *_lately(context),
        max_active_goals=context.settings.forecasting.goal_setter.max_active_goals,
        cycle_id=context.cycle_id,
    )
    return replace(changes, new=tuple(_told(goal, evidence_now) for goal in changes.new))


def _told(goal: Goal, known: Evidence) -> Goal:
    """Return a goal whose reason tells that its driver was found, or why nothing is planned on it, where that is so."""
    objective = goal.objective or ""
    said = {
        key: text
        for key, text in {
            "found_driver": known.found_drivers.get(objective),
            "unfitted": known.unfitted.get(objective),
        }.items()
        if text is not None
    }
    sentence = " ".join([goal.because.get("sentence", ""), *said.values()]).strip()
    return goal.model_copy(update={"because": {**goal.because, "sentence": sentence, **said}}) if said else goal


def _lately(context: Context) -> tuple[list[GoalView], list[GoalView]]:
    """Return the goals that are open, and those closed in the last days."""
    return context.store.goals.lately(context.tick - timedelta(days=RECENT_DAYS))


def evidence(context: Context, outlook: Outlook, patterns: tuple[Pattern, ...]) -> Evidence:
    """Return all that this turn knows; breaches of driven objectives are those that their driver foretells."""
    known = amounts_now(context, outlook.frames, outlook.paths(), outlook.breaches)
    steps = amount_steps(known)
    look_for_drivers(context, known)
    runs, late = _late_runs(context, known.objectives)
    return Evidence(
        tick=context.tick,
        objectives=known.objectives,
        frames=outlook.frames,
        forecasts=outlook.by_series(),
        breaches=(
            *foretold(steps, _breaches(known, outlook, context.tick), context.tick),
            *(late_breach(name, each, context.tick) for name, each in late.items() if each),
        ),
        late_runs=late,
        runs=runs,
        spare=tuple(spare_amounts(known, steps)),
        unfitted=known.driven.unfitted,
        found_drivers=said_of_found(context),
        patterns=patterns,
        hourly=_hourly(context, known.objectives),
        slo_windows={
            objective.name: _windows(context, objective)
            for objective in known.objectives
            if objective.kind.has_error_budget
        },
    )


def _breaches(known: AmountsNow, outlook: Outlook, tick: datetime) -> tuple[Breach, ...]:
    if all(objective.driver is None for objective in known.objectives):
        return outlook.breaches
    step_s = {series: frame.step_s for frame in outlook.frames for series in frame.series}
    driven = driven_breaches(known.objectives, known.driven, known.paths, step_s, tick, _last(outlook.frames))
    replaced = {breach.objective for breach in driven}
    return (*(breach for breach in outlook.breaches if breach.objective not in replaced), *driven)


def _late_runs(
    context: Context, objectives: tuple[Objective, ...]
) -> tuple[RunHistory, dict[str, tuple[LateRun, ...]]]:
    """Return the runs that are known, and by objective what is foretold of those that are to be done by a deadline."""
    judging = [objective for objective in objectives if objective.kind.judges_runs]
    if not judging:
        return RunHistory(), {}
    since = context.tick - timedelta(days=LONG_DAYS)
    events = context.store.events.newest(tuple(STATE_OF), since, context.tick, MOST_RUNS)
    lately = timedelta(seconds=max(3_600.0, 2 * context.settings.analysis_interval_s))
    now = {series: value for series, (_, value) in context.store.samples.latest(context.tick - lately).items()}
    runs, tick_s = replace(run_history(events, now), zone=context.zone), context.tick.timestamp()
    return runs, {
        each.name: late_runs(runs, each, tick_s, context.cycle.seed, warned_of(context, each)) for each in judging
    }


def warned_of(context: Context, objective: Objective) -> Warned:
    """Return the runs that goals of an objective were about, and when one was that turned out well of itself."""
    since = context.tick - timedelta(seconds=VAIN_S)
    newest, _ = context.store.goals.page("", "", MOST_WARNED, objective=objective.name)
    warned = {_run_of(view.goal): view for view in reversed(newest) if view.goal.created_at > since}
    acts = context.store.actions.finished(since) if warned else []
    # What only informs aims at no series: it keeps no run in time.
    helped = {view.action.goal_id for view in acts if view.touched and view.action.series is not None}
    in_vain = [
        view.goal.created_at.timestamp()
        for view in warned.values()
        if view.state is GoalState.ACHIEVED and view.goal.goal_id not in helped
    ]
    return Warned(frozenset(warned), tuple(in_vain))


def _run_of(goal: Goal) -> str:
    return str(goal.because.get("inputs", {}).get("flow_run_id"))


def _last(frames: tuple[Frame, ...]) -> dict[str, float]:
    return {
        series: float(row[np.isfinite(row)][-1])
        for frame in frames
        for series, row in zip(frame.series, frame.values, strict=True)
        if np.isfinite(row).any()
    }


def _meant(context: Context, objective: Objective) -> list[str]:
    return [info.series for info in context.store.samples.known() if objective.matches(info.series)]


def _hourly(context: Context, objectives: tuple[Objective, ...]) -> Frame | None:
    series = {name for each in objectives if each.kind.needs_hourly_history for name in _meant(context, each)}
    if not series:
        return None
    return context.store.samples.frame(sorted(series), context.tick, 3_600, LONG_DAYS * 24)


def _windows(context: Context, objective: Objective) -> tuple[WindowCount, ...]:
    """Count good and all samples of an objective in every window that its burn rates look at."""
    spans_s = sorted({objective.window_s, *(span for pair in burn_windows(objective) for span in _spans(pair))})
    if objective.denominator is not None:
        known = [info.series for info in context.store.samples.known()]
        pairs = [(each.series, each.below) for each in ratio_pairs([objective], known)]
        counters = _counters(context, {below for _, below in pairs})
        return tuple(_of_requests(context, objective, pairs, counters, span_s) for span_s in spans_s)
    series = _meant(context, objective)
    counted = [
        (
            span_s,
            context.store.samples.share_within(
                series, *_between(context, span_s), objective.side, objective.slice_bound
            ),
        )
        for span_s in spans_s
    ]
    return tuple(WindowCount(span_s, good, total) for span_s, (good, total) in counted)


def _counters(context: Context, series: set[str]) -> frozenset[str]:
    named = sorted(filter(is_named_as_counter, series))
    if not named:
        return frozenset()
    frame = context.store.samples.frame(named, context.tick, COUNTER_STEP_S, COUNTER_STEPS)
    return frozenset(name for name in named if counts_up(name, frame.row(name)))


def _of_requests(
    context: Context, objective: Objective, pairs: list[tuple[str, str]], counters: frozenset[str], span_s: float
) -> WindowCount:
    """Count the values of a ratio, those with more requests as more: an empty hour is no evidence, good or bad.

    Where each request counts, and they were counted, they are the evidence.
    """
    found = context.store.samples.requests_within(
        pairs, *_between(context, span_s), objective.side, objective.slice_bound, counters
    )
    if found.total <= 0:
        return WindowCount(span_s, 0.0, 0.0)
    requests = found.total if found.are_counts else None
    total = found.total if requests and objective.counts_events else float(found.values)
    return WindowCount(span_s, total * found.good / found.total, total, requests)


def _spans(pair: BurnWindows) -> tuple[float, float]:
    return pair.long_s, pair.short_s


def _between(context: Context, span_s: float) -> tuple[Any, Any]:
    return context.tick - timedelta(seconds=span_s), context.tick
