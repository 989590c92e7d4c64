"""Sequences of actions, what actions declare for them, and what is believed of actions together."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from storage.records import GoalType, Moment

STEP: JsonDict = {
    "action_id": "action-3f0c2a9d1b7e",
    "name": "start_replica",
    "target": "replica-2",
    "position": 0,
    "status": "succeeded",
    "detail": "started",
    "undone_by": None,
}
SEQUENCE: JsonDict = {
    "sequence_id": "sequence-5b1f0a77c2de",
    "name": "start_replica, then switch_over",
    "goal_id": "goal-3f0c2a9d1b7e",
    "steps": [STEP, {**STEP, "name": "switch_over", "position": 1, "action_id": "action-9d1b7e3f0c2a"}],
    "how": "done",
    "reason": "Every step was done.",
    "ended_at": "2026-03-02T12:06:00Z",
}


class SequenceStep(BaseModel):
    """One step of a sequence and what became of it."""

    action_id: str
    name: str
    target: str
    position: int = Field(description="From 0 on")
    status: str = Field(description="As the status of an action")
    detail: str = Field(description="What its receipt says; empty before that")
    undone_by: str | None = Field(description="The id of its newest undo")


class SequenceShown(BaseModel):
    """A sequence of actions that was planned, its steps, and how it ended."""

    model_config = ConfigDict(json_schema_extra={"examples": [SEQUENCE]})

    sequence_id: str
    name: str
    goal_id: str
    steps: list[SequenceStep]
    how: str | None = Field(
        description="done, stopped (its goal was met, or it never began), undone, left (some of it is in place); null "
        "while it is under way"
    )
    reason: str
    ended_at: Moment | None


class DeclaredAction(BaseModel):
    """The facts that an action requires and provides."""

    name: str
    requires: list[str]
    provides: list[str]
    lacks: list[str] = Field(description="What it requires that is not so now")


class SynergyShown(BaseModel):
    """What is believed that two actions add to what each does alone, in standard deviations, toward the goal."""

    goal_type: GoalType
    actions: list[str]
    mean: float
    low: float = Field(description="Lower end of the 90 % interval")
    high: float
    count: int = Field(description="Measured sequences that hold both")


class ComposedPlans(BaseModel):
    """All about sequences of actions."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "declared": [
                        {"name": "switch_over", "requires": ["replica up"], "provides": [], "lacks": ["replica up"]}
                    ],
                    "facts_held": [],
                    "doubts": [],
                    "tries_pairs": False,
                    "sequences": [SEQUENCE],
                    "synergies": [
                        {
                            "goal_type": "BOTTLENECK_PREVENTION",
                            "actions": ["start_replica", "switch_over"],
                            "mean": 1.2,
                            "low": 0.8,
                            "high": 1.6,
                            "count": 4,
                        }
                    ],
                    "note": None,
                }
            ]
        }
    )

    declared: list[DeclaredAction]
    facts_held: list[str] = Field(
        description="The facts that hold now by acts in force; what handlers report is not asked here"
    )
    doubts: list[str] = Field(description="What is wrong with what is declared, a sentence each")
    tries_pairs: bool = Field(description="Whether pairs may be tried of which nothing is declared")
    sequences: list[SequenceShown] = Field(description="The newest 50")
    synergies: list[SynergyShown]
    note: str | None
