"""The agent as a whole: its status, its statistics, its report."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool
from pydantic.config import JsonDict

from api.models.forecasts import Calibration
from api.models.goals import GoalsOverview
from storage.records import Breach, Cycle, Moment, Pattern

STATISTICS: JsonDict = {
    "goals_created": 12,
    "goals_achieved": 9,
    "goals_failed": 1,
    "goals_expired": 1,
    "goals_cancelled": 0,
    "goals_superseded": 0,
    "plans_created": 12,
    "actions_executed": 14,
    "actions_succeeded": 13,
    "actions_failed": 1,
    "cycles_completed": 240,
    "samples_recorded": 5,
    "events_recorded": 2,
}


class ModeIn(BaseModel):
    """Whether the loop may act by itself."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"autonomous": False}]})

    autonomous: StrictBool
    by: str = Field(default="api", min_length=1, max_length=200)


class Mode(BaseModel):
    """Whether the loop may act by itself, and what could keep it from it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "autonomous": True,
                    "acts": True,
                    "kill_switch": False,
                    "kill_switch_path": ".foreact/STOP",
                    "note": "Acts by itself where an action's level allows it.",
                }
            ]
        }
    )

    autonomous: bool = Field(description="The switch")
    acts: bool = Field(description="The switch is on and there is no kill-switch file")
    kill_switch: bool = Field(description="The kill-switch file exists: nothing is done, approved or not")
    kill_switch_path: str
    note: str


class AgentStatistics(BaseModel):
    """What the agent has done so far."""

    model_config = ConfigDict(json_schema_extra={"examples": [STATISTICS]})

    goals_created: int
    goals_achieved: int
    goals_failed: int
    goals_expired: int
    goals_cancelled: int
    goals_superseded: int
    plans_created: int
    actions_executed: int
    actions_succeeded: int
    actions_failed: int
    cycles_completed: int
    samples_recorded: int = Field(description="Received over HTTP since this process started")
    events_recorded: int = Field(description="Received over HTTP since this process started")


class Status(BaseModel):
    """How the agent is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "agent": "default",
                    "running": True,
                    "uptime_seconds": 3600.0,
                    "started_at": "2026-03-02T11:00:00Z",
                    "active_goals": 1,
                    "autonomous_mode": True,
                    "mode": {
                        "autonomous": True,
                        "acts": True,
                        "kill_switch": False,
                        "kill_switch_path": ".foreact/STOP",
                        "note": "Acts by itself where an action's level allows it.",
                    },
                    "statistics": STATISTICS,
                    "last_cycle": None,
                    "pending_approvals": 0,
                    "version": "0.1.0",
                }
            ]
        }
    )

    agent: str
    running: bool = Field(description="Watching, sampling and, where analysis is enabled, setting goals")
    uptime_seconds: float
    started_at: Moment
    active_goals: int
    autonomous_mode: bool
    mode: Mode
    statistics: AgentStatistics
    last_cycle: Cycle | None
    pending_approvals: int
    version: str


class RunStarted(BaseModel):
    """A flow run that was asked for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "flow_run_id": "0198c1f2-…",
                    "flow_run_url": "http://127.0.0.1:4200/runs/flow-run/0198c1f2-…",
                    "deployment": "cycle/cycle",
                }
            ]
        }
    )

    flow_run_id: str
    flow_run_url: str
    deployment: str


class ExecutorStatistics(BaseModel):
    """What was executed, and how it went."""

    success_rate: float = Field(description="Succeeded among those carried out, 0 to 1; 0 where none was yet")
    total_actions: int
    actions_executed: int
    actions_succeeded: int
    actions_failed: int
    actions_skipped: int
    actions_undone: int
    held_back: int = Field(description="Times nothing was done on purpose, to learn what would have happened anyway")
    dry_runs: int
    pending_actions: int
    pending_approvals: int
    average_execution_seconds: float | None
    measured_actions: int
    improved_actions: int
    improved_rate: float | None = Field(description="Measured to have improved their metric, among those measured")
    verdicts: dict[str, int]
    plans_created: int
    max_concurrent_goals: int
    learning_enabled: bool


class Prediction(BaseModel):
    """The overall state that is foretold."""

    predicted_state: str = Field(description="healthy, degraded, critical or unknown")
    probability: float | None
    probabilities: dict[str, float]
    at: Moment | None
    reason: str


class ForecastingReport(BaseModel):
    """Forecasts and patterns in short."""

    prediction: Prediction
    breaches: list[Breach]
    series: int
    calibration: Calibration
    patterns: list[Pattern]
    note: str | None


class Rate(BaseModel):
    """A share of what was counted, with its 90 % interval."""

    rate: float
    low: float
    high: float
    count: int


class SuccessRate(Rate):
    """How often an action moved its metric toward the goal, among its decided outcomes."""

    model_config = ConfigDict(extra="allow")

    undecided: int = 0
    failed: int = 0
    verdicts: dict[str, int] = Field(default_factory=dict)


class CommonFailure(BaseModel):
    """How often an action failed or made things worse, with the commonest reason."""

    model_config = ConfigDict(extra="allow")

    action: str
    count: int
    reason: str = ""


class Insights(BaseModel):
    """What was learned from outcomes. Effects are in standard deviations of the metric, positive toward the goal."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "action_success_rates": {
                        "limit_process_affinity": {"rate": 0.9, "low": 0.66, "high": 0.99, "count": 10, "undecided": 2}
                    },
                    "common_failures": [{"action": "renice_process", "count": 2, "reason": "no such process"}],
                    "effects": [
                        {
                            "action": "limit_process_affinity",
                            "goal_type": "BOTTLENECK_PREVENTION",
                            "effect_sd_units": 1.4,
                            "low": 1.1,
                            "high": 1.7,
                            "count": 12,
                        }
                    ],
                    "contributions": [
                        {
                            "action": "limit_process_affinity",
                            "series": "memory_used_ratio",
                            "role": "side_effect",
                            "mean_change": 0.001,
                            "low": -0.004,
                            "high": 0.006,
                            "count": 12,
                        }
                    ],
                }
            ]
        },
    )

    action_success_rates: dict[str, SuccessRate]
    common_failures: list[CommonFailure]
    average_duration_s: dict[str, float] = Field(default_factory=dict)
    effects: list[dict[str, Any]] = Field(default_factory=list, description="Mean effect by action and goal type")
    best_hours: dict[str, list[dict[str, Any]]] = Field(default_factory=dict)
    strategy_efficacy: dict[str, dict[str, Any]] = Field(default_factory=dict)
    strategy_advice: dict[str, Any] = Field(
        default_factory=dict, description="How probably one strategy achieves more than another, by goal type"
    )
    trend: list[dict[str, Any]] = Field(default_factory=list, description="Day by day")
    convergence: list[dict[str, Any]] = Field(
        default_factory=list, description="By goal type: the action believed best, how surely, and what is left to gain"
    )
    predictions: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="By action: effects believed beforehand and measured, summed over its uses"
    )
    contradicted_claims: list[dict[str, Any]] = Field(default_factory=list)
    contributions: list[dict[str, Any]] = Field(
        default_factory=list, description="What each action does to every metric it was measured on, in its unit"
    )
    off_policy: list[dict[str, Any]] = Field(
        default_factory=list, description="What other policies would have achieved, from logged decisions; only a veto"
    )
    outcomes: int = 0
    note: str = ""


class MeasuredImpact(BaseModel):
    """The mean effect of all acts, in standard deviations of the metric, positive toward the goal."""

    effect_sd_units: float
    low: float
    high: float
    count: int


class LearningConvergence(BaseModel):
    """How settled it is which action is best, over goal types."""

    settled_ratio: float
    mean_best_ratio: float
    mean_value_remaining_sd: float
    goal_types: int


class Monitoring(BaseModel):
    """The figures by which the loop itself is watched, over the last `window_s` seconds; None: nothing was counted."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "window_s": 86400.0,
                    "goals_per_hour": 0.5,
                    "goal_achievement_rate": {"rate": 0.8, "low": 0.55, "high": 0.94, "count": 10},
                    "action_success_rate": {"rate": 0.7, "low": 0.44, "high": 0.88, "count": 10},
                    "mean_execution_time_s": 0.4,
                    "measured_impact": {"effect_sd_units": 0.9, "low": 0.6, "high": 1.2, "count": 12},
                    "learning_convergence": {
                        "settled_ratio": 1.0,
                        "mean_best_ratio": 0.97,
                        "mean_value_remaining_sd": 0.02,
                        "goal_types": 1,
                    },
                }
            ]
        }
    )

    window_s: float
    goals_per_hour: float
    goal_achievement_rate: Rate | None
    action_success_rate: Rate | None
    mean_execution_time_s: float | None
    measured_impact: MeasuredImpact | None
    learning_convergence: LearningConvergence | None


class ExecutorState(BaseModel):
    """The executor in short."""

    statistics: ExecutorStatistics
    insights: dict[str, Any]


class StageReport(BaseModel):
    """One finished stage of a cycle."""

    stage: str
    finished_at: Moment
    duration_s: float
    summary: dict[str, Any]


class CycleDetail(BaseModel):
    """One turn of the loop with its finished stages."""

    cycle: Cycle
    stages: list[StageReport]
    duration_s: float


class Report(BaseModel):
    """Everything at once."""

    generated_at: Moment
    agent_status: Status
    goals: GoalsOverview
    forecasting_report: ForecastingReport
    executor_state: ExecutorState
    insights: dict[str, Any]
    monitoring: Monitoring
    last_cycle: CycleDetail | None
