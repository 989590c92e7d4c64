"""Outcomes as they are shown."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from storage.records import Estimand, Outcome

EXAMPLE: dict[str, Any] = {
    "outcome_id": "outcome-5f0c2d9e1b7a",
    "action_id": "action-8b1f0d2c4e6a",
    "action": "limit_process_affinity",
    "goal_id": "goal-3d9a1c5e7f20",
    "goal_type": "BOTTLENECK_PREVENTION",
    "strategy": "IMMEDIATE",
    "series": "cpu_used_ratio",
    "role": "target",
    "measured_at": "2026-03-02T12:10:00Z",
    "acted_at": "2026-03-02T12:00:00Z",
    "horizon_s": 600,
    "estimate": -0.21,
    "low": -0.26,
    "high": -0.16,
    "standard_error": 0.03,
    "p_value": 0.0004,
    "effect_sd_units": 1.9,
    "standard_error_sd_units": 0.27,
    "verdict": "improved",
    "reason": "p = 0.0004 against 40 past windows without an action",
    "propensity": 0.86,
    "claimed": -0.3,
    "status": "succeeded",
    "duration_s": 0.2,
    "evidence": {"window_steps": 10, "observed_steps": 10, "past_windows": 40, "relative_ratio": -0.24},
}


class Outcomes(BaseModel):
    """Effects of actions, newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"outcomes": [EXAMPLE]}]})

    outcomes: list[Outcome]


class EstimandDetail(BaseModel):
    """What an act is judged by, and how small an effect could be told."""

    estimand: Estimand
    sentence: str = Field(description="The smallest effect that can be detected, and how likely the expected one is")


class OutcomeDetail(BaseModel):
    """One outcome with the estimand recorded before its action."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"outcome": EXAMPLE, "estimand": None, "picture": "/api/autonomous/outcomes/…/picture"}]
        }
    )

    outcome: Outcome
    estimand: Estimand | None = Field(description="Null if none was recorded before the action, or it is unreadable")
    picture: str = Field(description="Address of its chart")
