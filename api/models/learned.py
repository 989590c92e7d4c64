"""What was learned, and the figures by which the loop itself is watched."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from storage.records import Autonomy


class Rate(BaseModel):
    """A share of what was counted, with its 90 % interval."""

    rate: float
    low: float
    high: float
    count: int


class SuccessRate(Rate):
    """Share of an action's decided outcomes that moved the metric toward the goal."""

    model_config = ConfigDict(extra="allow")

    undecided: int = 0
    failed: int = 0
    verdicts: dict[str, int] = Field(default_factory=dict)


class CommonFailure(BaseModel):
    """How often an action failed or made things worse, with the most frequent reason."""

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
        default_factory=dict, description="By goal type, the probability that one strategy achieves more than another"
    )
    trend: list[dict[str, Any]] = Field(default_factory=list, description="By day")
    convergence: list[dict[str, Any]] = Field(
        default_factory=list,
        description="By goal type: the action believed best, its probability, and the value still to gain",
    )
    predictions: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="By action: predicted and measured effects, summed over its runs"
    )
    contradicted_claims: list[dict[str, Any]] = Field(default_factory=list)
    contributions: list[dict[str, Any]] = Field(
        default_factory=list, description="Effect of each action on every measured metric, in the metric's unit"
    )
    off_policy: list[dict[str, Any]] = Field(
        default_factory=list,
        description="What other policies would have achieved, from logged decisions; used only as a veto",
    )
    placebo_check: dict[str, Any] | None = Field(
        default=None,
        description="The newest `foreact evaluate --placebo`: how often doing nothing looked like an effect",
    )
    outcomes: int = 0
    note: str = ""


class MeasuredImpact(BaseModel):
    """The mean effect of all actions, in standard deviations of the metric, positive toward the goal."""

    effect_sd_units: float
    low: float
    high: float
    count: int


class LearningConvergence(BaseModel):
    """How certain it is which action is best, over goal types."""

    settled_ratio: float
    mean_best_ratio: float
    mean_value_remaining_sd: float
    goal_types: int


class Monitoring(BaseModel):
    """The figures of the loop itself over the last `window_s` seconds; null if there is no data."""

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


class RolloutPair(BaseModel):
    """What an action may do for a type of goal, and what is missing for more."""

    goal_type: str | None = Field(description="Null of an action that was never planned")
    action: str
    level: Autonomy = Field(description="In force now: as said in foreact.toml, or earned since")
    next_level: Autonomy | None = Field(description="Null at the highest that it may have")
    missing: list[str] = Field(description="What the next level still needs; the loop promotes by the same rule")
    reason: str
    evidence: dict[str, Any] = Field(
        description="Verified forecasts and their coverage, lead time, measured outcomes and effect, failures, undos"
    )


class Rollout(BaseModel):
    """Every action that may act, for each type of goal that it was planned for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "pairs": [
                        {
                            "goal_type": "BOTTLENECK_PREVENTION",
                            "action": "renice_process",
                            "level": "approve",
                            "next_level": "auto",
                            "missing": ["8 measured outcomes", "2 undos of which 90 % worked"],
                            "reason": "auto still needs: 8 measured outcomes; 2 undos of which 90 % worked",
                            "evidence": {"forecasts": 120, "coverage_ratio": 0.91, "outcomes": 3, "undos": 0},
                        }
                    ],
                    "note": None,
                }
            ]
        }
    )

    pairs: list[RolloutPair]
    note: str | None
