"""What was learned of effects that come late or add up, by type of goal."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from storage.records import GoalType, Moment


class LatePolicyShown(BaseModel):
    """What was learned for one type of goal, and whether it chooses."""

    goal_type: GoalType
    is_admitted: bool = Field(description="Whether its lower bound beats the policy in force")
    since: Moment | None = Field(description="Since when it is so")
    at: Moment = Field(description="When it was learned last")
    choices: int = Field(description="Choices logged by then")
    differing: int = Field(description="In how many of those looked at it would have done otherwise")
    followed: int = Field(description="In how many of these that was done by chance")
    mean_h: float | None = Field(description="Hours of severity 1 less broken for each choice; null where not known")
    low_h: float | None = Field(description="The lower bound that was asked of it")
    sentence: str


class LateWordShown(BaseModel):
    """A decision in which the learned policy would have done, or did, otherwise."""

    decision_id: str
    goal_id: str
    at: Moment
    chosen: str
    instead: str
    gain_h: float
    doubt_h: float
    is_admitted: bool = Field(description="Whether it was drawn from; else it was only said")


class LateEffects(BaseModel):
    """All that was learned of effects that come late or add up."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "mode": "shadow",
                    "horizon_hours": 6.0,
                    "logged": {"BOTTLENECK_PREVENTION": 61},
                    "policies": [
                        {
                            "goal_type": "BOTTLENECK_PREVENTION",
                            "is_admitted": False,
                            "since": "2026-03-12T00:00:00Z",
                            "at": "2026-03-13T00:00:00Z",
                            "choices": 61,
                            "differing": 40,
                            "followed": 12,
                            "mean_h": 0.08,
                            "low_h": -0.02,
                            "sentence": "A shadow: 0.08 h less broken for each of 58 choices, at least -0.02.",
                        }
                    ],
                    "said": [
                        {
                            "decision_id": "decision-3f0c2a9d1b7e",
                            "goal_id": "goal-9d1b7e3f0c2a",
                            "at": "2026-03-13T09:00:00Z",
                            "chosen": "restart",
                            "instead": "clear_cache",
                            "gain_h": 0.3,
                            "doubt_h": 0.1,
                            "is_admitted": False,
                        }
                    ],
                    "note": None,
                }
            ]
        }
    )

    mode: Literal["off", "shadow", "act"] = Field(description="executor.late_effects")
    horizon_hours: float = Field(description="executor.late_effects_hours")
    logged: dict[GoalType, int] = Field(description="Choices left to chance, which are learned from")
    policies: list[LatePolicyShown]
    said: list[LateWordShown] = Field(description="Of the newest 200 decisions, newest first")
    note: str | None
