"""The plan stage: what could be done for each goal is weighed on the forecast's joint paths, and chosen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from math import ceil, isfinite
from typing import Any

import numpy as np

from handlers.worlds import candidates_in
from storage.actions import ActionView
from storage.facts import BUDGET_SHARES
from storage.records import (
    NOTHING,
    Autonomy,
    Candidate,
    FloatArray,
    Frame,
    GoalType,
    GoalView,
    Objective,
    Receipt,
    ReceiptStatus,
    metric_of,
)
from tasks.authority import as_allowed_now, asks_first, is_autonomous, level_now
from tasks.causes.in_words import on_cause
from tasks.configured_actions import usual_durations_s
from tasks.context import Context
from tasks.drivers.in_force import amounts_now
from tasks.drivers.settable_amounts import amount_steps
from tasks.forecast import Outlook
from tasks.goals import leads_to_act
from tasks.interventions.act_window import horizon_ends_at
from tasks.interventions.declared_facts import declared_facts
from tasks.interventions.effect_over_time import is_clock
from tasks.interventions.in_force import facts_in_force
from tasks.interventions.jumps import OffUsual, off_usual
from tasks.interventions.matured import doubted_until
from tasks.interventions.recent import passes_after_s
from tasks.learn import (
    LearnedBeliefs,
    PairBeliefs,
    beliefs_of_pairs,
    late_advice,
    learned_strategies,
    measured_changes,
    planner_beliefs,
    realised_by_action,
)
from tasks.maintenance import spans_between
from tasks.plan import PlanProblem, Realised, make_plans
from tasks.plan.composition import with_sequences
from tasks.plan.flip_points import with_flip_points
from tasks.plan.in_force import budgets_used, shares_budgets
from tasks.plan.problem import Commitment, EffectBeliefs, PlanResult
from tasks.plan.record.choices import choices_of
from tasks.plan.record.holdout import abstentions
from tasks.plan.shares.allocate import with_shares
from tasks.plan.valuation.amounts import latency_of
from tasks.plan.valuation.priors import PriorBeliefs
from tasks.plan.valuation.value import steps_in
from tasks.special import at_least_visible
from tasks.stage import explanation, stage

HISTORY_DAYS = 2
DAY_S = 86_400.0
SERIES_AT_ONCE = 512
"""Of so many series deviations are taken at once: what that takes is several times their history."""


def _summary(result: PlanResult) -> Mapping[str, Any]:
    return {
        "decisions": len(result.decisions),
        "actions": [action.title for action in result.actions],
    }


@stage("plan", _summary)
def plan(context: Context, goals: tuple[GoalView, ...], outlook: Outlook) -> PlanResult:
    """Choose actions for the open goals and record what was chosen, over what, and why."""
    if not goals and not shares_budgets(context):
        return PlanResult()
    context = context.within_shares()
    question = problem(context, goals, outlook)
    result, store = without_aims(make_plans(question), question), context.store
    decisions = explanation(
        "what would have changed a decision", partial(with_flip_points, question, result.decisions), result.decisions
    )
    result = replace(result, decisions=decisions)

    def write() -> None:
        if question.shares or store.facts.get(BUDGET_SHARES):
            store.facts.set(BUDGET_SHARES, question.shares)
        store.decisions.append(result.decisions, result.plans, context.cycle_id)
        store.choices.append(choices_of(question, result.decisions))
        store.actions.append([*result.actions, *abstentions(question, result.decisions)], context.cycle_id)
        for dropped in result.dropped:
            store.actions.finish(_given_up(context, dropped.action_id, dropped.reason))

    store.together(write)
    for action in result.actions:
        detail = {"action": action.name, "target": action.target, "goal": action.goal_id, "level": action.level}
        store.audit.append("loop", "action planned", action.action_id, detail)
    return result


def without_aims(result: PlanResult, question: PlanProblem) -> PlanResult:
    """Return the result with actions that only report aiming at no metric: they must not confound those that act."""
    actions = (
        action.model_copy(update={"series": None, "guards": ()})
        if question.traits_of(action.name).informs_only
        else action
        for action in result.actions
    )
    return replace(result, actions=tuple(actions))


def problem(context: Context, goals: tuple[GoalView, ...], outlook: Outlook) -> PlanProblem:
    """Gather everything that the choice depends on, with the budgets that objectives share already shared."""
    options = context.settings.executor
    recent = context.finished(context.tick - timedelta(days=HISTORY_DAYS))
    pending = [view for view in context.store.actions.pending() if _is_planned(context, view)]
    known = amounts_now(context, outlook.frames, outlook.paths(), outlook.breaches)
    driven, objectives = known.driven, {objective.name: objective for objective in known.objectives}
    candidates = {
        view.goal.goal_id: _candidates(context, view, objectives.get(view.goal.objective or ""), goals)
        for view in goals
    }
    spreads, off = _spreads(outlook), dict(_far_off(goals, outlook.frames, known.paths, objectives))
    used, beliefs = budgets_used(context, objectives), _beliefs(context, off)
    question = PlanProblem(
        tick=context.tick,
        cycle_id=context.cycle_id,
        seed=context.cycle.seed,
        goals=goals,
        objectives=objectives,
        candidates=candidates,
        beliefs=beliefs,
        paths=known.paths,
        step_s={series: frame.step_s for frame in outlook.frames for series in frame.series},
        series_sd=spreads,
        off_usual_sd={goal_id: each.sd for goal_id, each in off.items()},
        usual={goal_id: each.usual for goal_id, each in off.items()},
        traits=context.actions,
        usual_duration_s=usual_durations_s(context.store, context.actions),
        levels=_levels(context, goals, candidates),
        advice=learned_strategies(context) if options.enable_learning else None,
        realised=realised(context) if options.enable_learning else {},
        changes=measured_changes(context) if options.enable_learning else {},
        facts_held=facts_in_force(context),
        tries_pairs=options.try_pairs,
        tried=context.store.outcomes.tried() if options.try_pairs else frozenset(),
        pair_beliefs=_pair_beliefs(context, beliefs),
        unmeasured=_unmeasured(context, _broken(goals, outlook.frames, objectives)),
        responses=driven.responses,
        capacities=driven.capacities,
        capacity_latency_s=driven.latency_s,
        steps=amount_steps(known),
        commitments=commitments(context, [*pending, *_settling(context, recent)], outlook.frames, driven.latency_s),
        in_force_until=_in_force(context, recent, outlook.frames),
        cooldown_until=_cooldowns(context, recent),
        doubted_until=doubted_until(context.store, context.tick, passes_after_s(context.actions)),
        maintenance=_maintenance(context),
        informed=_informed(context, goals),
        max_concurrent_goals=options.max_concurrent_goals,
        slot_s=options.execution_interval_seconds,
        cycle_s=context.settings.analysis_interval_s,
        margin=options.margin_ratio,
        nothing_floor=options.holdout_ratio,
        settle_s=options.measure_horizon_seconds,
        expires_s=max(3 * context.settings.analysis_interval_s, 15 * 60),
        approval_expires_s=options.approval_expires_seconds,
        used_minutes=used.minutes,
        silent=used.silent,
        given_up=used.given_up,
        late=late_advice(context, goals, outlook.frames, spreads, recent),
    )
    return with_shares(_asking_where_lost(context, with_sequences(question)))


def _asking_where_lost(context: Context, question: PlanProblem) -> PlanProblem:
    """Return the problem with sequences asking first that are out of their depth, as single actions do."""
    offers = (each for offered in question.candidates.values() for each in offered)
    composed = {each.action for each in offers if each.steps}
    lost = {
        (goal_type, name): Autonomy.APPROVE
        for (goal_type, name), level in question.levels.items()
        if name in composed and level is Autonomy.AUTO
        if asks_first(context.store, goal_type, question.traits[name]) is not None
    }
    return replace(question, levels={**question.levels, **lost}) if lost else question


def _is_planned(context: Context, view: ActionView) -> bool:
    """Tell whether an action stands in the way of others: a proposal does not before it may be done."""
    if view.action.proposed_by and view.approval is None:
        allowed = as_allowed_now(context.actions, context.store, view).action.level
        return allowed is Autonomy.AUTO and is_autonomous(context.settings, context.store)
    return view.action.name != NOTHING


def _beliefs(context: Context, off: Mapping[str, OffUsual]) -> EffectBeliefs:
    """Return what was learned."""
    off_sd = {goal_id: each.sd for goal_id, each in off.items()}
    return planner_beliefs(context, off_sd) if context.settings.executor.enable_learning else PriorBeliefs()


def _pair_beliefs(context: Context, beliefs: EffectBeliefs) -> PairBeliefs:
    """Return what was learned of actions together; nothing is read where no sequence can be offered."""
    is_asked = context.settings.executor.try_pairs or bool(declared_facts(context.actions))
    if not is_asked or not isinstance(beliefs, LearnedBeliefs):
        return PairBeliefs()
    return beliefs_of_pairs(context, beliefs.learner)


def realised(context: Context) -> dict[str, Realised]:
    """Return what actions were expected to change and what they were measured to, by action."""
    return {
        action: Realised(gain.count, gain.predicted, gain.realised)
        for action, gain in realised_by_action(context).items()
    }


def _candidates(
    context: Context, view: GoalView, objective: Objective | None, goals: tuple[GoalView, ...]
) -> tuple[Candidate, ...]:
    """Return what the world offers for a goal, less what is switched off and what sets another amount than is meant.

    Of several targets that an action could take, only those on the likeliest cause are left.
    Unless the goal leads to an act, what changes something is left out too.
    """
    meant, may_act = objective.capacity if objective is not None else None, leads_to_act(view, goals)
    candidates: list[Candidate] = []
    for each in candidates_in(context.world, view.goal, context.tick):
        action = context.actions[each.action]
        sets_another = meant and action.sets and action.sets != meant
        if action.enabled and not sets_another and (may_act or action.informs_only):
            candidates += action.variants(each)
    return on_cause(candidates, view.goal)


def _levels(
    context: Context, goals: tuple[GoalView, ...], candidates: Mapping[str, tuple[Candidate, ...]]
) -> dict[tuple[GoalType, str], Autonomy]:
    """Return the level of each pair; without autonomous mode nothing exceeds what a person must approve.

    But for what only reports: nobody needs to be asked for that.
    """
    cap = Autonomy.AUTO if is_autonomous(context.settings, context.store) else Autonomy.APPROVE
    metrics: dict[GoalType, set[str]] = {}
    for view in goals:
        metrics.setdefault(view.goal.goal_type, set()).add(metric_of(view.goal.series or ""))
    return {
        (goal_type, name): min(
            level_now(context.store, goal_type, context.actions[name], metrics[goal_type]),
            Autonomy.AUTO if context.actions[name].informs_only else cap,
            key=lambda level: level.rank,
        )
        for goal_type in metrics
        for name in {candidate.action for offered in candidates.values() for candidate in offered}
    }


def _spreads(outlook: Outlook) -> dict[str, float]:
    return {
        series: spread
        for frame in outlook.frames
        for start in range(0, len(frame.series), SERIES_AT_ONCE)
        for series, spread in zip(
            frame.series[start : start + SERIES_AT_ONCE],
            _deviations(frame.values[start : start + SERIES_AT_ONCE]),
            strict=True,
        )
        if isfinite(spread)
    }


def _deviations(values: FloatArray) -> list[float]:
    """Return the standard deviation of each row (n_series, n_steps), NaN where nothing was recorded."""
    is_seen = np.isfinite(values)
    filled, count = np.where(is_seen, values, 0.0), is_seen.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = filled.sum(axis=1) / count
        off = np.where(is_seen, values - mean[:, None], 0.0)
        sd = np.sqrt((off * off).sum(axis=1) / count)
    return [at_least_visible(*each) if isfinite(each[0]) else each[0] for each in zip(sd, mean, strict=True)]


def _far_off(
    goals: Sequence[GoalView],
    frames: Sequence[Frame],
    paths: Mapping[str, FloatArray],
    objectives: Mapping[str, Objective],
) -> Iterator[tuple[str, OffUsual]]:
    """Yield the goals whose metric stands far beyond what is usual as a fault makes it, or soon will, and how far."""
    rows = {series: (frame, place) for frame in frames for place, series in enumerate(frame.series)}
    for goal in (view.goal for view in goals):
        if goal.series not in rows:
            continue
        frame, place = rows[goal.series]
        objective = objectives.get(goal.objective or "")
        steps = steps_in(objective.horizon_s if objective else np.inf, frame.step_s)
        ahead = np.nanmean(paths[goal.series][:, :steps], axis=0) if goal.series in paths else np.empty(0)
        off = off_usual(frame.values[place], ahead, round(DAY_S / frame.step_s))
        if off is not None and (off.sd > 0) == (goal.side == "below"):
            yield goal.goal_id, off._replace(sd=abs(off.sd))


def _broken(goals: Sequence[GoalView], frames: Sequence[Frame], objectives: Mapping[str, Objective]) -> frozenset[str]:
    """Return the series of goals whose newest value breaks the bound."""
    meant = {view.goal.series: objectives.get(view.goal.objective or "") for view in goals}
    newest = {
        series: row[np.isfinite(row)][-1:]
        for frame in frames
        for series, row in zip(frame.series, frame.values, strict=True)
        if series in meant
    }
    return frozenset(
        series for series, values in newest.items() if (each := meant[series]) and each.broken_by(values).any()
    )


def _unmeasured(context: Context, broken: Collection[str]) -> frozenset[str]:
    """Return the actions and the series of acts that await their measurement.

    The next one may end that of an act which was seen for long enough, where a bound is broken meanwhile: what it does
    later would be taken for the work of the next.
    """
    views = [view for view in context.store.actions.unmeasured() if view.action.name != NOTHING]
    acts = [view.action for view in views if view.action.series not in broken or not _may_follow(view, context.tick)]
    return frozenset(name for act in acts for name in (act.name, act.series or ""))


def _may_follow(view: ActionView, tick: datetime) -> bool:
    """Tell whether an act was seen for long enough that the next one on its metric may end its measurement."""
    least_s = view.action.least_horizon_s
    return bool(least_s and view.receipt and tick >= view.receipt.finished_at + timedelta(seconds=least_s))


def _settling(context: Context, recent: list[ActionView]) -> list[ActionView]:
    return [
        view for view in recent if (receipt := view.touched) and horizon_ends_at(view.action, receipt) > context.tick
    ]


def commitments(
    context: Context,
    views: Sequence[ActionView],
    frames: tuple[Frame, ...],
    latency_s: Mapping[str, float] | None = None,
) -> tuple[Commitment, ...]:
    """Return what was planned or done before and still counts; `latency_s` was seen, by the series that is set.

    Of a sequence that has not begun its first step stands for all.
    """
    sequences: dict[str, list[ActionView]] = {}
    for view in views:
        sequences.setdefault(view.action.sequence_id, []).append(view)
    waiting = {key: mine for key, mine in sequences.items() if key and not any(map(_has_begun, mine))}
    return tuple(
        _commitment(context, view, frames, latency_s or {}, waiting.get(view.action.sequence_id, ()))
        for view in views
        if not (view.action.sequence_id in waiting and view.action.position)
    )


def _has_begun(view: ActionView) -> bool:
    return view.intent is not None or view.receipt is not None


def _commitment(
    context: Context,
    view: ActionView,
    frames: tuple[Frame, ...],
    latency_s: Mapping[str, float],
    steps: Sequence[ActionView] = (),
) -> Commitment:
    action, sets = view.action, context.actions[view.action.name].sets
    start = view.receipt.finished_at if view.receipt else action.due_at
    return Commitment(
        action_id=action.action_id,
        goal_id=action.goal_id,
        action=action.name,
        target=action.target,
        start=start,
        until=start + timedelta(seconds=min(action.horizon_s, context.settings.executor.measure_horizon_seconds)),
        series=action.series,
        params=action.params,
        strategy=action.strategy,
        # An undo is nobody's plan to reconsider, and a proposal is its proposer's.
        # Nor is a later step, once the first of its sequence began.
        is_started=_has_begun(view) or bool(action.undo_of or action.proposed_by or action.position),
        waits=view.approval is None and action.level is not Autonomy.AUTO,
        sets=sets,
        rises_until=_rises_until(context, view, sets, frames, latency_s) if sets and view.receipt else None,
        steps=tuple(
            Candidate(action=each.name, target=each.target, params=each.params)
            for each in sorted((step.action for step in steps), key=lambda each: each.position)
        ),
    )


def _rises_until(
    context: Context, view: ActionView, sets: str, frames: tuple[Frame, ...], latency_s: Mapping[str, float]
) -> datetime | None:
    """Return when what an action added to an amount will work; None where it added nothing."""
    receipt, amount = view.receipt, view.action.params.get("amount")
    before = _value_at(frames, sets, receipt.finished_at) if receipt else None
    if receipt is None or before is None or not isinstance(amount, int | float) or amount <= before:
        return None
    traits = context.actions[view.action.name]
    return receipt.finished_at + timedelta(seconds=latency_of(traits, traits.latency_s, latency_s.get(sets)))


def _value_at(frames: tuple[Frame, ...], series: str, moment: datetime) -> float | None:
    """Return the last value of a series recorded up to a moment."""
    for frame in frames:
        if series in frame.series:
            later = max(0, ceil((frame.end - moment).total_seconds() / frame.step_s))
            row = frame.row(series)[: frame.values.shape[1] - later]
            seen = row[np.isfinite(row)]
            return float(seen[-1]) if len(seen) else None
    return None


def _maintenance(context: Context) -> tuple[tuple[datetime, datetime], ...]:
    """Return the spans of the day ahead in which nothing is done."""
    until = context.tick + timedelta(days=1)
    return tuple(spans_between(context.settings.executor.maintenance, context.tick, until, context.zone))


def _in_force(context: Context, recent: list[ActionView], frames: tuple[Frame, ...]) -> dict[tuple[str, str], datetime]:
    """Return by (action, series) until when acts on clocks work: what they still change is in no path.

    Of other metrics the forecast holds it. An act that was undone works no more.
    """
    undone, until = context.store.actions.undone_at(), dict[tuple[str, str], datetime]()
    clocks = {series for frame in frames for series in _acted_on(recent, frame) if is_clock(frame.row(series))}
    for view in recent:
        action, duration_s = view.action, context.actions[view.action.name].duration_s
        is_over = action.undo_of is not None or action.action_id in undone
        if view.touched and duration_s and action.series in clocks and not is_over:
            until[(action.name, action.series)] = view.touched.finished_at + timedelta(seconds=duration_s)
    return until


def _acted_on(recent: Sequence[ActionView], frame: Frame) -> set[str]:
    return {view.action.series for view in recent if view.action.series in frame.series}


def _cooldowns(context: Context, recent: list[ActionView]) -> dict[tuple[str, str], datetime]:
    """Return from when on each action may run on each target again: after its cooldown, and once its last act is seen.

    That takes as long again as until it works, a turn at most: before, a second one would be run for want of patience.
    """
    turn_s = context.settings.analysis_interval_s
    free_at: dict[tuple[str, str], datetime] = {}
    for view in recent:
        if view.receipt and _was_answered(view) and not view.action.undo_of:
            traits = context.actions[view.action.name]
            is_under_way = view.receipt.status is ReceiptStatus.SUCCEEDED and traits.sets is None
            seen_after_s = traits.latency_s + min(traits.latency_s, turn_s) if is_under_way else 0.0
            pause = timedelta(seconds=max(traits.cooldown_s, seen_after_s))
            free_at[(view.action.name, view.action.target)] = view.receipt.finished_at + pause
    return free_at


def _was_answered(view: ActionView) -> bool:
    """Tell whether an action was tried, or rejected by a person; what was merely given up need not cool down."""
    is_real = view.receipt is not None and view.receipt.status is not ReceiptStatus.DRY_RUN
    return is_real and (view.intent is not None or view.approval is not None)


def _informed(context: Context, goals: tuple[GoalView, ...]) -> frozenset[str]:
    """Return the goals that already had an action which only reports."""
    if not any(handler.informs_only for handler in context.actions.values()):
        return frozenset()
    return frozenset(
        view.goal.goal_id
        for view in goals
        if any(
            context.actions[each.action.name].informs_only for each in context.store.actions.of_goal(view.goal.goal_id)
        )
    )


def _given_up(context: Context, action_id: str, reason: str) -> Receipt:
    return Receipt(
        action_id=action_id,
        status=ReceiptStatus.SKIPPED,
        started_at=context.tick,
        finished_at=context.tick,
        detail=reason,
    )
