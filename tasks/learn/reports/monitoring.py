"""The figures by which the loop itself is watched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from storage.records import GoalState
from tasks.learn.outcome_rows import OutcomeRow, is_action, once_each
from tasks.learn.pooled_effect import OwnError, pooled_effect, share_interval

HOUR_S = 3_600.0


@dataclass(frozen=True)
class GoalTrace:
    """When a goal was raised and how it stands, in epoch seconds."""

    created_at_s: float
    state: GoalState
    closed_at_s: float | None = None


def monitoring_figures(
    goals: Iterable[GoalTrace],
    rows: Iterable[OutcomeRow],
    *,
    now_s: float,
    window_s: float = 86_400.0,
    convergence: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the six monitoring figures over the last `window_s` seconds, as JSON-ready values.

    `goals_per_hour`; `goal_achievement_rate` of goals closed as achieved, failed or expired;
    `action_success_rate` of decided outcomes; `mean_execution_time_s`; `measured_impact`, the mean effect
    in sd of the metric with its 90 % interval; `learning_convergence`, the share of goal types whose best
    action is settled, from the entries that `insights` lists under `convergence`. What nothing was counted for
    is None.
    """
    since, outcomes, every = now_s - window_s, once_each(rows), list(goals)
    recent = [row for row in outcomes if is_action(row) and since <= row.at_s <= now_s]
    raised = sum(since <= goal.created_at_s <= now_s for goal in every)
    ended = [
        goal.state
        for goal in every
        if goal.closed_at_s is not None and since <= goal.closed_at_s <= now_s and goal.state in _DECIDED
    ]
    achieved = sum(state is GoalState.ACHIEVED for state in ended)
    decided = [row for row in recent if row.is_judged]
    successes = sum(row.is_success for row in decided)
    return {
        "window_s": window_s,
        "goals_per_hour": raised / (window_s / HOUR_S),
        "goal_achievement_rate": _rate(achieved, len(ended)),
        "action_success_rate": _rate(successes, len(decided)),
        "mean_execution_time_s": float(np.mean([row.duration_s for row in recent])) if recent else None,
        "measured_impact": _impact([row for row in recent if row.is_measured]),
        "learning_convergence": _convergence(list(convergence)),
    }


_DECIDED = frozenset({GoalState.ACHIEVED, GoalState.FAILED, GoalState.EXPIRED})


def _rate(part: int, count: int) -> dict[str, float] | None:
    if not count:
        return None
    low, high = share_interval(part, count)
    return {"rate": part / count, "low": low, "high": high, "count": count}


def _impact(rows: Sequence[OutcomeRow]) -> dict[str, float] | None:
    if not rows:
        return None
    pooled = pooled_effect(
        np.array([row.effect_sd_units for row in rows]),
        np.array([row.se_sd_units for row in rows]),
        past_windows=np.array([row.past_windows for row in rows]),
        own=OwnError(),
    )
    return {"effect_sd_units": pooled.mean, "low": pooled.low, "high": pooled.high, "count": pooled.count}


def _convergence(states: Sequence[Mapping[str, Any]]) -> dict[str, float] | None:
    if not states:
        return None
    return {
        "settled_ratio": float(np.mean([state["is_settled"] for state in states])),
        "mean_best_ratio": float(np.mean([state["best_ratio"] for state in states])),
        "mean_value_remaining_sd": float(np.mean([state["value_remaining_sd"] for state in states])),
        "goal_types": len(states),
    }
