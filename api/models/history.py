"""Lists of records, as they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from storage.audit import AuditCheck
from storage.facts import BacktestProgress
from storage.records import AuditEntry, Cycle, Objective, ObjectiveKind, Pattern, filled_in
from tasks.objectives.in_force import Origin

OBJECTIVE: dict[str, Any] = {
    "metric": "latency",
    "side": "below",
    "bound": 200,
    "severity": 0.6,
    "horizon_s": 3600,
    "description": "Answers within 200 ms.",
}


class Patterns(BaseModel):
    """The patterns that the newest cycle found, strongest first."""

    cycle_id: str | None
    patterns: list[Pattern]
    note: str | None = None


class ObjectiveIn(BaseModel):
    """An objective without its name, which is in the address."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [OBJECTIVE]})

    metric: str = Field(min_length=1, max_length=1_000)
    bound: float = Field(allow_inf_nan=False)
    kind: ObjectiveKind = ObjectiveKind.BOUND
    side: Literal["below", "above"] = "below"
    severity: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:
        return filled_in(given) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _only_known_fields(self) -> ObjectiveIn:
        unknown = sorted(set(self.model_extra or {}) - set(Objective.model_fields))
        if unknown:
            allowed = ", ".join(sorted(Objective.model_fields))
            raise ValueError(f"unknown fields: {', '.join(unknown)}; known fields are {allowed}")
        return self


class ObjectiveView(BaseModel):
    """An objective in force, and where it comes from."""

    origin: Origin
    comes_from: str = Field(description="The same in words: a default for this host, foreact.toml, a person, …")
    objective: Objective
    warnings: list[str] = Field(default_factory=list)


class Objectives(BaseModel):
    """The objectives in force."""

    objectives: list[ObjectiveView]
    contradictions: list[str] = Field(description="Pairs that cannot both be met")
    trouble: list[str] = Field(default_factory=list, description="Why the objectives in the file do not apply")
    shares: list[str] = Field(default_factory=list, description="How each budget was shared, or why it cannot be")


class Audit(BaseModel):
    """The newest lines of the audit trail, newest first."""

    entries: list[AuditEntry]
    verified: bool | None = Field(
        description="Whether every line carries the hash of the one before; null if not requested"
    )
    first_broken_line: int | None = None
    check: AuditCheck | None = Field(default=None, description="What was found, and what that can and cannot prove")


class Cycles(BaseModel):
    """The newest turns of the loop, newest first."""

    cycles: list[Cycle]


class BacktestIn(BaseModel):
    """How much recorded history to replay."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"days": 30, "every_minutes": 60}]})

    days: float = Field(default=7, gt=0, le=3_650, description="Days of history")
    every_minutes: float | None = Field(
        default=None, gt=0, le=1_440, description="Time between turns; default: the interval of the live loop"
    )


class ChangeReview(BaseModel):
    """What a change of the configuration would have done, as `foreact backtest --against FILE` found."""

    name: str
    at: datetime
    before: str = Field(description="The file that it was compared with")
    after: str
    worse: list[str] = Field(description="A sentence for each way in which it is worse; empty where it is no worse")
    figures: list[dict[str, Any]]
    configuration: list[dict[str, Any]] = Field(description="Each key that differs, before and after")
    logged_decisions: dict[str, Any] | None = Field(
        description="What it would have achieved on logged decisions more, in sd of the metric a decision, with a 90 % "
        "interval; null where none can be judged"
    )
    logged_note: str
    notes: list[str]
    markdown: str


class ChangeReviews(BaseModel):
    """The newest reviews that were made here, newest first."""

    reviews: list[ChangeReview]


class Backtests(BaseModel):
    """Finished backtests, newest first."""

    backtests: list[dict[str, Any]]
    progress: BacktestProgress | None = Field(default=None, description="Null before the first that was asked for here")
    reports: list[str] = Field(default_factory=list, description="Pages under /backtests/, newest first")
