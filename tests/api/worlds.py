"""Records for a store as a few turns of the loop leave it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from storage import Store
from storage.forecasts import BreachResult, ForecastError
from storage.records import (
    NOTHING,
    Action,
    Alternative,
    Autonomy,
    Breach,
    Cycle,
    Decision,
    Forecast,
    Goal,
    GoalState,
    GoalType,
    Intent,
    Outcome,
    Pattern,
    Plan,
    Receipt,
    ReceiptStatus,
    Sample,
    StatePrediction,
    Strategy,
    Transition,
    Verdict,
)
from tasks.forecast.fleet_snapshot import STORED_LEVELS
from tasks.interventions.undo import undo_of

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
SERIES = "cpu_used_ratio"
LEVELS = STORED_LEVELS
STAGES = ("monitor", "forecast", "goals")


def a_goal(goal_id: str, at: datetime, **changes: Any) -> Goal:
    fields: dict[str, Any] = {
        "goal_id": goal_id,
        "goal_type": GoalType.BOTTLENECK_PREVENTION,
        "description": "Keep cpu_used_ratio below 0.9",
        "cause": f"cause-{goal_id}",
        "objective": "cpu-not-saturated",
        "series": SERIES,
        "bound": 0.9,
        "severity": 0.7,
        "probability": 0.8,
        "urgency": 0.9,
        "priority": 0.5,
        "created_at": at,
        "deadline": at + HOUR,
        "because": {"rule": "bottleneck_prevention", "sentence": "cpu_used_ratio is 0.7 and climbs."},
    }
    return Goal(**fields | changes)


def a_move(goal_id: str, state: GoalState, at: datetime, progress: float = 0.0) -> Transition:
    return Transition(goal_id=goal_id, state=state, at=at, reason=f"it is {state}", progress=progress)


def an_action(action_id: str, at: datetime, **changes: Any) -> Action:
    fields: dict[str, Any] = {
        "action_id": action_id,
        "name": "renice_process",
        "goal_id": "goal-1",
        "goal_type": GoalType.BOTTLENECK_PREVENTION,
        "plan_id": "plan-1",
        "decision_id": "decision-1",
        "params": {"pid": 4711, "nice": 10},
        "target": "burner",
        "level": Autonomy.APPROVE,
        "created_at": at,
        "due_at": at,
        "expires_at": at + HOUR,
        "series": SERIES,
        "guards": ("memory_used_ratio",),
    }
    return Action(**fields | changes)


def an_undo(store: Store, action_id: str, at: datetime) -> Action:
    """Plan the undo of an act that was done."""
    view = store.actions.get(action_id)
    assert view is not None
    undo = undo_of(view, at, is_reversible=True)
    store.actions.append([undo], "cycle-1")
    return undo


def a_receipt(action_id: str, at: datetime, status: ReceiptStatus = ReceiptStatus.SUCCEEDED) -> Receipt:
    return Receipt(
        action_id=action_id,
        status=status,
        started_at=at - timedelta(seconds=2),
        finished_at=at,
        detail="niced 4711",
        undo={"nice": 0},
    )


def an_outcome(action: Action, at: datetime, verdict: Verdict = Verdict.IMPROVED) -> Outcome:
    return Outcome(
        outcome_id=f"outcome-{action.action_id}",
        action_id=action.action_id,
        action=action.name,
        goal_id=action.goal_id,
        goal_type=action.goal_type,
        strategy=action.strategy,
        series=SERIES,
        measured_at=at,
        acted_at=at - 10 * MINUTE,
        horizon_s=600,
        estimate=-0.2,
        low=-0.3,
        high=-0.1,
        standard_error=0.06,
        p_value=0.01,
        effect_sd_units=1.2,
        standard_error_sd_units=0.3,
        verdict=verdict,
    )


def a_forecast(series: str, at: datetime, steps: int = 120, step_s: float = 60, **changes: Any) -> Forecast:
    point = np.linspace(0.5, 0.95, steps)
    spread = np.linspace(0.02, 0.2, steps)[:, None] * np.linspace(-1.0, 1.0, len(LEVELS))
    fields: dict[str, Any] = {
        "series": series,
        "issued_at": at,
        "step_s": step_s,
        "levels": LEVELS,
        "point": point,
        "quantiles": point[:, None] + spread,
        "method": "fleet",
    }
    return Forecast(**fields | changes)


def samples(store: Store, end: datetime, count: int = 120, series: str = SERIES, step: timedelta = MINUTE) -> None:
    values = 0.4 + 0.1 * np.sin(np.arange(count) / 9)
    store.samples.append(
        [
            Sample(metric=series, value=float(value), ts=end - step * (count - 1 - i), unit="ratio")
            for i, value in enumerate(values)
        ]
    )


def a_turn(store: Store, at: datetime, cycle_id: str = "cycle-1") -> None:
    """Record one turn: forecasts, breach, state, patterns, stages."""
    cycle = Cycle(
        cycle_id=cycle_id, agent="default", tick=at, autonomous=True, configuration_hash="c", code_version="0", seed=0
    )
    store.cycles.begin(cycle)
    store.cycles.stages_done(cycle_id, [(stage, store.clock(), 0.25, {"rows": 3}) for stage in STAGES])
    refused = a_forecast("short_series", at, steps=1, refusal="12 samples, 30 are needed", method="none")
    store.forecasts.append([a_forecast(SERIES, at), refused], cycle_id)
    store.forecasts.states.append(
        StatePrediction(
            at=at + HOUR,
            state="degraded",
            probabilities={"healthy": 0.3, "degraded": 0.65, "critical": 0.05},
            reason="cpu-not-saturated is likely to break",
        ),
        cycle_id,
    )
    breach = Breach(objective="cpu-not-saturated", series=SERIES, probability=0.7, expected_at=at + 40 * MINUTE)
    store.forecasts.breaches.append([breach], cycle_id)
    pattern = Pattern(
        pattern_id="p1", kind="recurrence", subject="deploy", statement="deploy comes every hour", strength=0.8
    )
    store.patterns.append([pattern], cycle_id)


def a_ledger(store: Store, at: datetime) -> None:
    """Record how past forecasts turned out."""
    store.forecasts.append_errors(
        [ForecastError(f"old-{i}", SERIES, at - HOUR, 60, np.zeros(3), 0.9, False) for i in range(4)]
    )
    store.forecasts.append_breach_results(
        [BreachResult(f"old-{i}", "cpu-not-saturated", SERIES, 0.8, 0.8, True) for i in range(4)]
    )


def a_history(store: Store, at: datetime) -> None:
    """Record goals and actions in several states: action-1 waits, action-2 was done and measured, action-3 failed."""
    store.goals.append(
        [a_goal("goal-1", at), a_goal("goal-2", at, priority=0.2), a_goal("goal-3", at, parent_id="goal-1")],
        [
            a_move("goal-1", GoalState.ACTIVE, at, 0.25),
            a_move("goal-2", GoalState.ACHIEVED, at, 1.0),
            a_move("goal-3", GoalState.PROPOSED, at),
        ],
        "cycle-1",
    )
    decision = a_decision(at)
    plan = Plan(
        plan_id="plan-1", goal_id="goal-1", decision_id="decision-1", created_at=at, strategy=Strategy.IMMEDIATE
    )
    store.decisions.append([decision], [plan], "cycle-1")
    done = an_action("action-2", at - 20 * MINUTE, level=Autonomy.AUTO)
    failed = an_action("action-3", at - 20 * MINUTE, name="notify", level=Autonomy.AUTO)
    store.actions.append([an_action("action-1", at), done, failed], "cycle-1")
    for action in (done, failed):
        store.actions.claim(Intent(action_id=action.action_id, at=at - 20 * MINUTE, before={"nice": 0}))
    store.actions.finish(a_receipt("action-2", at - 19 * MINUTE))
    store.actions.finish(a_receipt("action-3", at - 19 * MINUTE, ReceiptStatus.FAILED))
    failed_outcome = an_outcome(failed, at, Verdict.NO_EFFECT).model_copy(update={"status": ReceiptStatus.FAILED})
    store.outcomes.append([an_outcome(done, at), failed_outcome], "cycle-1")


def a_decision(at: datetime) -> Decision:
    taken = Alternative(action="renice_process", value=0.4, propensity=0.9)
    return Decision(
        decision_id="decision-1",
        goal_id="goal-1",
        at=at,
        chosen=taken,
        alternatives=(taken, Alternative(action=NOTHING, value=0.1, propensity=0.1, reason="worth less")),
        strategy=Strategy.IMMEDIATE,
        explanation="Renicing is worth most.",
        seed=1,
    )
