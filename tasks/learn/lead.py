"""How early warnings come: from a goal being set to its bound being crossed, or to when that was foretold."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from storage.records import Goal, GoalType
from tasks.context import Context

GOALS_LOOKED_AT = 200
GOALS_COUNTED = 20
STEPS = 120


def lead_time_s(context: Context, goal_type: GoalType) -> float:
    """Return the median lead, in seconds, of the newest twenty goals of a type that had a bound; 0 without any.

    A goal set when its bound was already crossed had none. One whose bound was never crossed, because something was
    done or it was a false alarm, counts with the moment that was foretold.
    """
    goals = context.store.goals.all(GOALS_LOOKED_AT)
    mine = [view.goal for view in goals if view.goal.goal_type is goal_type and view.goal.series]
    leads = [_lead_s(context, goal) for goal in mine[:GOALS_COUNTED]]
    return float(np.median(leads)) if leads else 0.0


def _lead_s(context: Context, goal: Goal) -> float:
    if goal.because.get("is_broken_now"):
        return 0.0
    foretold_s = max(0.0, (goal.deadline - goal.created_at).total_seconds())
    crossed_at = _crossed_at(context, goal, foretold_s)
    return foretold_s if crossed_at is None else (crossed_at - goal.created_at).total_seconds()


def _crossed_at(context: Context, goal: Goal, foretold_s: float) -> datetime | None:
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
