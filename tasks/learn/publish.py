"""What follows from new outcomes beside the beliefs: what people are told, and what each action may do from now on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import numpy as np

from handlers import ActionHandler, ActionsByName
from storage import Store
from storage.actions import ActionView
from storage.facts import INSIGHTS, PLACEBOS, SEARCHED, LongSearch
from storage.records import NOTHING, Autonomy, BoolArray, FloatArray, Goal, GoalType, ReceiptStatus
from tasks.authority import asks_first, counts_for, earn, judge_proposer, level_in_force, proposer_level
from tasks.context import Context
from tasks.learn.autonomy import TrackRecord, gather, review
from tasks.learn.beliefs import Learner
from tasks.learn.knowledge import learned_from
from tasks.learn.outcome_rows import OutcomeRow
from tasks.learn.pooled_effect import OwnError
from tasks.learn.proposers import review_proposer
from tasks.learn.reports.contribution import contributions
from tasks.learn.reports.insights import insights
from tasks.learn.reports.off_policy import LoggedDecision, policy_report, propensities_of
from tasks.learn.reports.outlasted import Columns, outlasted

COVERAGE_OF = 500
DECISIONS_LOOKED_AT = 200
ACTIONS_LOOKED_AT = 1_000
OFF_POLICY_EVERY = 10


def publish(context: Context, rows: Sequence[OutcomeRow], learner: Learner, considered: int, count: int) -> None:
    """Keep what was learned where readers, and the planner, find it without learning themselves.

    `rows` are the newest outcomes of `count` in all, of which `considered` had been gone through before.
    """
    checked = context.store.facts.get(PLACEBOS)
    own = OwnError(checked.widening, checked.shared_ratio) if checked else OwnError()
    changes = context.store.outcomes.changes()
    insights_now = insights(
        rows,
        learner,
        contributions=contributions(changes, own, _not_its_own(context, changes)),
        off_policy=_off_policy(context, learner, considered, count),
        seed=context.cycle.seed,
        own=own,
    )
    context.store.facts.set(INSIGHTS, insights_now)


def has_moved(context: Context) -> bool:
    """Tell whether a long search of this turn found a level that moved and stayed, which may be no act's."""
    searched = context.store.facts.get(SEARCHED)
    return searched is not None and searched.cycle_id == context.cycle_id and bool(_lasting_at_s(context, searched))


def _lasting_at_s(context: Context, searched: LongSearch) -> dict[str, FloatArray]:
    """Return by series when its level moved for good, in unix seconds."""
    moved: dict[str, list[float]] = {}
    for each in context.store.patterns.of_search(searched.cycle_id):
        if each.kind == "change_point" and each.evidence.get("lasts"):
            moved.setdefault(each.subject, []).append(float(each.evidence["at_s"]))
    return {series: np.array(moments) for series, moments in moved.items()}


def _not_its_own(context: Context, changes: Columns) -> BoolArray | None:
    """Mark changes beside the aim that stayed once the act was over, as the newest long search for patterns tells."""
    searched = context.store.facts.get(SEARCHED)
    if searched is None or not (lasting_at_s := _lasting_at_s(context, searched)):
        return None
    passing = frozenset(name for name, handler in context.actions.items() if handler.duration_s is not None)
    return outlasted(changes, lasting_at_s, passing, searched.at_s)


def _off_policy(context: Context, learner: Learner, considered: int, count: int) -> list[dict[str, Any]]:
    """Return what other policies would have achieved; estimated anew with every tenth outcome, for it takes a while."""
    if count // OFF_POLICY_EVERY == considered // OFF_POLICY_EVERY:
        return list((context.store.facts.get(INSIGHTS) or {}).get("off_policy", ()))
    decided = context.store.outcomes.decided(DECISIONS_LOOKED_AT)
    propensities = {outcome.outcome_id: propensities_of(decision) for outcome, decision in decided}
    seen = learned_from(context, [outcome for outcome, _ in decided])
    return policy_report([LoggedDecision(each, propensities[each.outcome_id]) for each in seen], learner)


def review_levels(context: Context, rows: Sequence[OutcomeRow]) -> int:
    """Promote and demote each pair with outcomes by what was measured; every change is a line of the audit trail.

    A level that a person set in the configuration is where a pair starts, not where it must stay; `highest_level` is
    how far it may rise. Returns how many changed.
    """
    pairs = sorted({(row.action, row.goal_type) for row in rows if row.action != NOTHING and not row.steps})
    return sum(_review(context, rows, action, GoalType(goal_type)) for action, goal_type in pairs)


class Known(Protocol):
    """What the levels are read from: a turn's context, or what a reader has of it."""

    @property
    def store(self) -> Store: ...
    @property
    def actions(self) -> ActionsByName: ...
    @property
    def tick(self) -> datetime: ...


@dataclass(frozen=True)
class PairStanding:
    """Where a (goal type, action) pair stands: the level in force, its evidence, what the next level still needs.

    `goal_type` is empty for an action that was never planned. `next_level` is None at the highest that it may have.
    """

    goal_type: str
    action: str
    level: Autonomy
    next_level: Autonomy | None
    missing: tuple[str, ...]
    reason: str
    evidence: TrackRecord


def standings(known: Known, rows: Sequence[OutcomeRow]) -> list[PairStanding]:
    """Return where each pair stands that was ever planned, then each enabled action that was not, by action."""
    views = known.store.actions.latest(ACTIONS_LOOKED_AT)
    pairs = {(row.action, row.goal_type) for row in rows if not row.steps} | {
        (view.action.name, str(view.action.goal_type)) for view in views if view.action.undo_of is None
    }
    planned = {action for action, _ in pairs}
    pairs |= {(name, "") for name, action in known.actions.items() if action.enabled and name not in planned}
    in_order = sorted(pairs, key=lambda pair: (not pair[1], pair))
    acting = [pair for pair in in_order if pair[0] != NOTHING and not known.actions[pair[0]].informs_only]
    return [_standing(known, rows, *pair) for pair in acting]


def _standing(known: Known, rows: Sequence[OutcomeRow], action: str, goal_type: str) -> PairStanding:
    handler = known.actions[action]
    level = level_in_force(known.store, GoalType(goal_type) if goal_type else None, handler)
    evidence = _evidence(known, rows, action, goal_type, level)
    lost = asks_first(known.store, GoalType(goal_type) if goal_type else None, handler)
    if lost is not None and level is Autonomy.AUTO:
        missing = (f"calm until {lost.until:%Y-%m-%d %H:%M} UTC, or a person's word",)
        return PairStanding(goal_type, action, Autonomy.APPROVE, level, missing, lost.reason, evidence)
    verdict, highest = review(level, evidence), Autonomy(handler.highest_level or Autonomy.AUTO)
    if level.rank >= highest.rank:
        reason = "no evidence against it" if highest is Autonomy.AUTO else "its highest_level in foreact.toml"
        return PairStanding(goal_type, action, level, None, (), reason, evidence)
    return PairStanding(
        goal_type, action, level, list(Autonomy)[level.rank + 1], verdict.missing, verdict.reason, evidence
    )


def _review(context: Context, rows: Sequence[OutcomeRow], action: str, goal_type: GoalType) -> bool:
    level = context.level(goal_type, action)
    evidence = _evidence(context, rows, action, goal_type, level)
    verdict = review(level, evidence)
    handler = context.actions[action]
    is_too_high = verdict.level.rank > Autonomy(handler.highest_level or Autonomy.AUTO).rank
    if not verdict.is_changed or is_too_high:
        return False
    earn(context.store, goal_type, handler, verdict.level)
    verb = "promoted" if verdict.level.rank > level.rank else "demoted"
    detail = {"from": level, "to": verdict.level, "reason": verdict.reason, "evidence": evidence.to_record()}
    context.store.audit.append("loop", verb, f"{goal_type}:{action}", detail)
    return True


def _evidence(context: Known, rows: Sequence[OutcomeRow], action: str, goal_type: str, level: Autonomy) -> TrackRecord:
    undone = [
        view
        for view in context.store.actions.latest(ACTIONS_LOOKED_AT)
        if view.action.undo_of and view.action.name == action
    ]
    coverage, forecasts = context.store.forecasts.coverage(COVERAGE_OF)
    return gather(
        rows,
        action,
        goal_type,
        is_reversible=context.actions[action].reversible,
        is_tested=any(row.action == action and not row.is_failure for row in rows),
        is_said=_is_said(context.actions[action], level),
        forecasts=forecasts,
        coverage_ratio=coverage or 0.0,
        lead_time_s=lead_time_s(context, goal_type),
        needed_lead_s=context.actions[action].latency_s,
        undos=len([view for view in undone if view.receipt]),
        undo_ratio=_share_undone(undone),
    )


def review_proposers(context: Context, rows: Mapping[str, OutcomeRow]) -> int:
    """Promote and demote those who propose by what their acts changed; `rows` are outcomes by action, oldest first.

    One whose proposals were refused for a while is judged by what it proposed since. Returns how many changed.
    """
    by_proposer: dict[str, list[OutcomeRow]] = {}
    for view in context.store.actions.proposed():
        row, proposer = rows.get(view.action.action_id), view.action.proposed_by
        if row is not None and counts_for(context.store, view.action):
            by_proposer.setdefault(proposer, []).append(row)
    return sum(_review_proposer(context, *each) for each in sorted(by_proposer.items()))


def _review_proposer(context: Context, proposer: str, rows: Sequence[OutcomeRow]) -> bool:
    level = proposer_level(context.store, proposer).level
    verdict = review_proposer(level, sorted(rows, key=lambda row: row.at_s))
    if not verdict.is_changed:
        return False
    judge_proposer(context.store, proposer, verdict.level, verdict.reason)
    verb = "promoted" if verdict.level.rank > level.rank else "demoted"
    detail = {"from": level, "to": verdict.level, "reason": verdict.reason, "acts": len(rows)}
    context.store.audit.append("loop", verb, f"proposer {proposer}", detail)
    return True


def _is_said(action: ActionHandler, level: Autonomy) -> bool:
    """Tell whether a person said that an action may go so far, or whoever registered or declared it here did."""
    said = action.configured_level if action.source else action.level
    return said is not None and level.rank <= Autonomy(said).rank


def _share_undone(undone: Sequence[ActionView]) -> float:
    ended = [view.receipt.status for view in undone if view.receipt]
    return sum(status is ReceiptStatus.SUCCEEDED for status in ended) / len(ended) if ended else 0.0


GOALS_LOOKED_AT = 200
GOALS_COUNTED = 20
STEPS = 120


def lead_time_s(context: Known, goal_type: str) -> float:
    """Return the median lead, in seconds, of the newest twenty goals of a type that had a bound; 0 without any.

    A goal set when its bound was already crossed had none. One whose bound was never crossed, because something was
    done or it was a false alarm, counts with the moment that was foretold.
    """
    goals = context.store.goals.all(GOALS_LOOKED_AT)
    mine = [view.goal for view in goals if view.goal.goal_type == goal_type and view.goal.series]
    leads = [_lead_s(context, goal) for goal in mine[:GOALS_COUNTED]]
    return float(np.median(leads)) if leads else 0.0


def _lead_s(context: Known, goal: Goal) -> float:
    if goal.because.get("is_broken_now"):
        return 0.0
    foretold_s = max(0.0, (goal.deadline - goal.created_at).total_seconds())
    crossed_at = _crossed_at(context, goal, foretold_s)
    return foretold_s if crossed_at is None else (crossed_at - goal.created_at).total_seconds()


def _crossed_at(context: Known, goal: Goal, foretold_s: float) -> datetime | None:
    """Return when the bound was first crossed before the deadline; None where it was not, or is not known yet."""
    step_s = max(1.0, foretold_s / STEPS)
    end = min(goal.deadline, context.tick)
    steps = int((end - goal.created_at).total_seconds() // step_s)
    if goal.bound is None or goal.series is None or steps < 1:
        return None
    values = context.store.samples.frame([goal.series], end, step_s, steps).values[0]
    beyond = values > goal.bound if goal.side == "below" else values < goal.bound
    crossed = np.flatnonzero(beyond & np.isfinite(values))
    return end - timedelta(seconds=step_s * (steps - 1 - int(crossed[0]))) if len(crossed) else None
