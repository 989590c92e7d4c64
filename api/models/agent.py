"""The agent as a whole: its status, its statistics, its report."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool
from pydantic.config import JsonDict

from api.models.forecasts import Calibration
from api.models.goals import GoalsOverview, SpeaksFor
from api.models.learned import Monitoring
from storage.records import Breach, Cycle, Moment, Pattern

Reason = Annotated[str, Field(min_length=1, max_length=2_000, description="Why; the audit trail keeps it")]

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
    "series_known": 14,
    "samples_recorded": 5,
    "events_recorded": 2,
}


class ModeIn(BaseModel):
    """Whether foreact acts automatically."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"autonomous": False}]})

    autonomous: StrictBool
    by: SpeaksFor = "api"
    note: str = Field(default="", max_length=2_000, description="Why; the audit trail keeps it")


class StopIn(BaseModel):
    """That everything is to stand still, or may go on again."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"note": "the deployment went wrong", "by": "ada"}]}
    )

    release: StrictBool = Field(default=False, description="Take the kill switch away instead of setting it")
    note: Reason
    by: SpeaksFor = "api"


class Mode(BaseModel):
    """Whether foreact acts automatically, and what could prevent it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "autonomous": True,
                    "acts": True,
                    "kill_switch": False,
                    "kill_switch_path": ".foreact/STOP",
                    "note": "Acts automatically where an action's level allows it.",
                }
            ]
        }
    )

    autonomous: bool = Field(description="Whether automatic actions are switched on")
    acts: bool = Field(description="Whether they are on and no kill-switch file exists")
    kill_switch: bool = Field(description="Whether the kill-switch file exists: then nothing is done, approved or not")
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
    series_known: int = Field(description="Series recorded so far: each metric and set of labels counts")
    samples_recorded: int = Field(description="Received over HTTP since this process started")
    events_recorded: int = Field(description="Received over HTTP since this process started")


class Status(BaseModel):
    """Status of the agent."""

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
                        "note": "Acts automatically where an action's level allows it.",
                    },
                    "statistics": STATISTICS,
                    "last_cycle": None,
                    "pending_approvals": 0,
                    "configuration_trouble": None,
                    "warnings": ["A guard of objective slow names erors, and nothing is recorded under that name yet."],
                    "version": "0.1.0",
                }
            ]
        }
    )

    agent: str
    running: bool = Field(description="Sampling and, if analysis is enabled, setting goals")
    uptime_seconds: float
    started_at: Moment
    active_goals: int
    autonomous_mode: bool
    mode: Mode
    statistics: AgentStatistics
    last_cycle: Cycle | None
    pending_approvals: int
    configuration_trouble: str | None = Field(
        default=None, description="Why the configuration is invalid; until it is corrected, the last usable one applies"
    )
    warnings: list[str] = Field(
        default_factory=list,
        description="What the configuration names that nothing is recorded for, and what the last turn could not read",
    )
    shared: list[str] = Field(default_factory=list, description="What is shared with other foreacts, a sentence each")
    version: str


class RunStarted(BaseModel):
    """A requested flow run."""

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
    """What was executed and how it ended."""

    success_rate: float = Field(description="Share of executed actions that succeeded, 0 to 1; 0 if none has run")
    total_actions: int
    actions_executed: int
    actions_succeeded: int
    actions_failed: int
    actions_skipped: int
    actions_undone: int
    held_back: int = Field(description="How often nothing was done on purpose, to measure what happens anyway")
    dry_runs: int
    pending_actions: int
    pending_approvals: int
    average_execution_seconds: float | None
    measured_actions: int
    improved_actions: int
    improved_rate: float | None = Field(description="Share of measured actions that improved their metric")
    verdicts: dict[str, int]
    plans_created: int
    max_concurrent_goals: int
    learning_enabled: bool


class Prediction(BaseModel):
    """The predicted overall state."""

    predicted_state: str = Field(description="healthy, degraded, critical or unknown")
    probability: float | None
    probabilities: dict[str, float]
    at: Moment | None
    reason: str


class ForecastingReport(BaseModel):
    """Summary of forecasts and patterns."""

    prediction: Prediction
    breaches: list[Breach]
    series: int
    calibration: Calibration
    patterns: list[Pattern]
    note: str | None


class ExecutorState(BaseModel):
    """Summary of the executor."""

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


class ConfigurationKey(BaseModel):
    """One key of the configuration, as it is in force."""

    key: str
    value: Any = Field(description="Secrets are blotted out")
    default: Any
    comes_from: str = Field(
        description="default, foreact.toml, the name of an environment variable, or that it was set at the start"
    )
    is_read_anew: bool = Field(description="Whether a change of foreact.toml is taken over without a restart")


class Configuration(BaseModel):
    """All that is configured, but for the objectives, which have an address of their own."""

    folder: str
    keys: list[ConfigurationKey]
    trouble: str | None = Field(description="Why foreact.toml as it stands cannot be used, or null")
