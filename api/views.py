"""From records to what is shown; nothing here reads a store or a clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from api.models.agent import AgentStatistics, CycleDetail, ExecutorStatistics, Mode, StageReport
from api.models.goals import ActionDetail, GoalSummary
from api.tally import Tally
from settings import Settings
from storage.actions import ActionView
from storage.records import Autonomy, Cycle, GoalState, GoalView, Outcome, ReceiptStatus, Verdict

GONE_WRONG = (ReceiptStatus.FAILED, ReceiptStatus.TIMED_OUT)


def mode(autonomous: bool, kill_switch: Path) -> Mode:
    """Describe the switch and the kill-switch file."""
    stopped = kill_switch.exists()
    if stopped:
        note = f"The kill switch {kill_switch} exists: nothing is done until it is removed."
    elif autonomous:
        note = "Acts by itself where an action's level allows it."
    else:
        note = "Recommends only; an action is done when a person approves it."
    return Mode(
        autonomous=autonomous,
        acts=autonomous and not stopped,
        kill_switch=stopped,
        kill_switch_path=str(kill_switch),
        note=note,
    )


def goal(view: GoalView) -> GoalSummary:
    """Show a goal with its state."""
    own = view.goal.model_dump(include=set(GoalSummary.model_fields))
    standing = {"state": view.state, "progress": view.progress, "reason": view.reason, "since": view.since}
    return GoalSummary(**own, **standing)


def open_count(counts: Mapping[str, int]) -> int:
    """Count the goals that still ask for something."""
    return sum(count for state, count in counts.items() if not GoalState(state).is_terminal)


def agent_statistics(
    goals: Mapping[str, int], tally: Tally, *, plans: int, cycles: int, series: int, samples: int, events: int
) -> AgentStatistics:
    """Sum up goals by state and receipts by status."""
    return AgentStatistics(
        goals_created=sum(goals.values()),
        goals_achieved=goals.get(GoalState.ACHIEVED, 0),
        goals_failed=goals.get(GoalState.FAILED, 0),
        goals_expired=goals.get(GoalState.EXPIRED, 0),
        goals_cancelled=goals.get(GoalState.CANCELLED, 0),
        goals_superseded=goals.get(GoalState.SUPERSEDED, 0),
        plans_created=plans,
        actions_executed=tally.executed,
        actions_succeeded=tally.by_status[ReceiptStatus.SUCCEEDED],
        actions_failed=sum(tally.by_status[status] for status in GONE_WRONG),
        cycles_completed=cycles,
        series_known=series,
        samples_recorded=samples,
        events_recorded=events,
    )


def awaits_approval(view: ActionView, now: datetime) -> bool:
    """Tell whether an action waits for a person: none has answered, and it has neither begun nor expired."""
    action = view.action
    is_open = view.receipt is None and view.intent is None and view.approval is None and now < action.expires_at
    return is_open and action.level is not Autonomy.AUTO


def action_status(view: ActionView, now: datetime) -> str:
    """Say in a word or two where an action stands."""
    if view.receipt is not None:
        return str(view.receipt.status)
    if view.intent is not None:
        return "running"
    if view.approval is not None and not view.approval.approved:
        return "rejected"
    if now >= view.action.expires_at:
        return "expired"
    return "waiting for approval" if awaits_approval(view, now) else "scheduled"


def action(view: ActionView, outcomes: Sequence[Outcome], undone_by: str | None, now: datetime) -> ActionDetail:
    """Show an action with everything recorded of it."""
    return ActionDetail(
        status=action_status(view, now),
        needs_approval=awaits_approval(view, now),
        action=view.action,
        approval=view.approval,
        intent=view.intent,
        receipt=view.receipt,
        outcomes=list(outcomes),
        undone_by=undone_by,
    )


def executor_statistics(
    tally: Tally,
    pending: Sequence[ActionView],
    insights: Mapping[str, Any],
    *,
    plans: int,
    settings: Settings,
    now: datetime,
) -> ExecutorStatistics:
    """Sum up what was executed and, by what was learned from it, what that changed."""
    rates: list[Mapping[str, Any]] = list(insights["action_success_rates"].values())
    decided = sum(each["count"] for each in rates)
    improved = sum(each["verdicts"].get(Verdict.IMPROVED, 0) for each in rates)
    verdicts: Counter[str] = sum((Counter(each["verdicts"]) for each in rates), Counter())
    succeeded = tally.by_status[ReceiptStatus.SUCCEEDED]
    return ExecutorStatistics(
        success_rate=succeeded / tally.executed if tally.executed else 0.0,
        total_actions=tally.by_status.total() + len(pending),
        actions_executed=tally.executed,
        actions_succeeded=succeeded,
        actions_failed=sum(tally.by_status[status] for status in GONE_WRONG),
        actions_skipped=tally.by_status[ReceiptStatus.SKIPPED],
        actions_undone=tally.undone,
        held_back=tally.held_back,
        dry_runs=tally.by_status[ReceiptStatus.DRY_RUN],
        pending_actions=len(pending),
        pending_approvals=sum(awaits_approval(view, now) for view in pending),
        average_execution_seconds=tally.duration_s / tally.executed if tally.executed else None,
        measured_actions=decided + sum(each["undecided"] for each in rates),
        improved_actions=improved,
        improved_rate=improved / decided if decided else None,
        verdicts=dict(verdicts),
        plans_created=plans,
        max_concurrent_goals=settings.executor.max_concurrent_goals,
        learning_enabled=settings.executor.enable_learning,
    )


def cycle(record: Cycle, stages: Sequence[Mapping[str, Any]]) -> CycleDetail:
    """Show a cycle with its stages."""
    reports = [StageReport.model_validate(stage) for stage in stages]
    return CycleDetail(cycle=record, stages=reports, duration_s=sum(report.duration_s for report in reports))
