"""Actions, goals and receipts for tests of the execute stage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from handlers import ActionsByName, elsewhere
from storage.actions import ActionView
from storage.records import (
    Action,
    Approval,
    Autonomy,
    Goal,
    GoalState,
    GoalType,
    Intent,
    Receipt,
    ReceiptStatus,
    Transition,
)
from tasks.execute.guards import Circumstances, GuardAnswer, judge

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
FAILED = ReceiptStatus.FAILED
TICK = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
GOAL = "goal-1"
SERIES = "cpu_usage"


def now(**changes: Any) -> Circumstances:
    """Return circumstances in which nothing objects."""
    fields: dict[str, Any] = {"tick": TICK, "open_goals": frozenset([GOAL])}
    return Circumstances(**fields | changes)


def limited(**limits: Any) -> ActionsByName:
    """Return the action `restart` with some limits, and none besides."""
    return ActionsByName(restart=elsewhere("restart", **limits))


def answer(view: ActionView, circumstances: Circumstances) -> GuardAnswer:
    """Return what the guards say."""
    return judge(view, circumstances).answer


def action_of(action_id: str = "a", at: datetime = TICK, **changes: Any) -> Action:
    fields: dict[str, Any] = {
        "action_id": action_id,
        "name": "restart",
        "goal_id": GOAL,
        "goal_type": GoalType.BOTTLENECK_PREVENTION,
        "plan_id": "plan-1",
        "decision_id": "decision-1",
        "target": "web",
        "level": Autonomy.AUTO,
        "created_at": at,
        "due_at": at,
        "expires_at": at + HOUR,
        "series": SERIES,
    }
    return Action(**fields | changes)


def receipt_of(action_id: str, at: datetime, status: ReceiptStatus = ReceiptStatus.SUCCEEDED) -> Receipt:
    return Receipt(action_id=action_id, status=status, started_at=at, finished_at=at)


def answer_of(action_id: str = "a", approved: bool = True, at: datetime = TICK, **changes: Any) -> Approval:
    fields: dict[str, Any] = {
        "action_id": action_id,
        "approved": approved,
        "by": "ada",
        "at": at,
        "expires_at": at + HOUR,
    }
    return Approval(**fields | changes)


def waiting(action: Action | None = None, approval: Approval | None = None, **changes: Any) -> ActionView:
    """Return an action that waits to be carried out."""
    return ActionView(action or action_of(**changes), approval, None, None)


def done(
    at: datetime, status: ReceiptStatus = ReceiptStatus.SUCCEEDED, action_id: str = "earlier", **changes: Any
) -> ActionView:
    """Return an action with a receipt of `at`."""
    action = action_of(action_id, at, **changes)
    return ActionView(action, None, Intent(action_id=action_id, at=at), receipt_of(action_id, at, status))


def goal_of(goal_id: str = GOAL, at: datetime = TICK, **changes: Any) -> Goal:
    fields: dict[str, Any] = {
        "goal_id": goal_id,
        "goal_type": GoalType.BOTTLENECK_PREVENTION,
        "description": "Keep cpu_usage below 90",
        "cause": goal_id,
        "objective": "cpu-usage-below-90",
        "series": SERIES,
        "bound": 90.0,
        "severity": 0.7,
        "probability": 0.8,
        "urgency": 0.9,
        "priority": 0.5,
        "created_at": at,
        "deadline": at + HOUR,
        "because": {"sentence": "cpu_usage climbs"},
    }
    return Goal(**fields | changes)


def opening(goal: Goal) -> Transition:
    """Return the transition that opens a goal."""
    return Transition(goal_id=goal.goal_id, state=GoalState.ACTIVE, at=goal.created_at, reason="it is pursued")
