"""Lists of records, as they are shown."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from storage.records import AuditEntry, Cycle, Moment, Objective, ObjectiveKind, Pattern

OBJECTIVE: dict[str, Any] = {
    "metric": "latency",
    "side": "below",
    "bound": 200,
    "severity": 0.6,
    "horizon_s": 3600,
    "description": "Answers within 200 ms.",
}


class Patterns(BaseModel):
    """The regularities that the newest cycle found, strongest first."""

    cycle_id: str | None
    patterns: list[Pattern]
    note: str | None = None


class ObjectiveIn(BaseModel):
    """An objective without its name, which the address gives."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [OBJECTIVE]})

    metric: str = Field(min_length=1, max_length=1_000)
    bound: float = Field(allow_inf_nan=False)
    kind: ObjectiveKind = ObjectiveKind.BOUND
    side: Literal["below", "above"] = "below"
    severity: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _only_known_fields(self) -> ObjectiveIn:
        unknown = sorted(set(self.model_extra or {}) - set(Objective.model_fields))
        if unknown:
            known = ", ".join(sorted(Objective.model_fields))
            raise ValueError(f"unknown fields: {', '.join(unknown)}; known are {known}")
        return self


class ObjectiveView(BaseModel):
    """An objective in force, and where it comes from."""

    origin: Literal["default", "file", "by hand"]
    objective: Objective
    warnings: list[str] = Field(default_factory=list)


class Objectives(BaseModel):
    """The objectives in force."""

    objectives: list[ObjectiveView]
    contradictions: list[str] = Field(description="Pairs that cannot both be met")


class Audit(BaseModel):
    """The newest lines of the audit trail, newest first."""

    entries: list[AuditEntry]
    verified: bool | None = Field(description="Whether every line carries the hash of the one before; null: not asked")
    first_broken_line: int | None = None


class Cycles(BaseModel):
    """The newest turns of the loop, newest first."""

    cycles: list[Cycle]


class BacktestIn(BaseModel):
    """A span of recorded history to run the loop over."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"start": "2026-02-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"}]},
    )

    start: Moment
    end: Moment

    @model_validator(mode="after")
    def _ends_after_start(self) -> BacktestIn:
        if self.end <= self.start:
            raise ValueError("end must be later than start")
        return self


class Backtests(BaseModel):
    """Finished backtests, newest first."""

    backtests: list[dict[str, Any]]


def newest_first(reports: dict[str, Any]) -> list[dict[str, Any]]:
    """Return stored reports with their id, newest first."""
    shown = [{"backtest_id": name, **report} for name, report in reports.items() if isinstance(report, dict)]
    return sorted(shown, key=lambda each: str(each.get("finished_at", "")), reverse=True)
