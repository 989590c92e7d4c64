"""Goals and what is done about them, as they are shown."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from api.models.sequences import SequenceShown
from storage.facts import ToldEarly
from storage.records import (
    Action,
    Approval,
    Decision,
    GoalState,
    GoalType,
    Intent,
    Moment,
    Outcome,
    Plan,
    Receipt,
    Transition,
)

SpeaksFor = Annotated[
    str,
    Field(
        min_length=1, max_length=200, description="Whom the caller speaks for; the audit trail names the caller first"
    ),
]

GOAL: JsonDict = {
    "goal_id": "goal-3f0c2a9d1b7e",
    "goal_type": "BOTTLENECK_PREVENTION",
    "rule": "bottleneck_prevention",
    "description": "Keep cpu_used_ratio below 0.9",
    "state": "active",
    "progress": 0.35,
    "priority": 0.62,
    "severity": 0.7,
    "probability": 0.93,
    "urgency": 0.95,
    "objective": "cpu-not-saturated",
    "series": "cpu_used_ratio",
    "created_at": "2026-03-02T12:00:00Z",
    "since": "2026-03-02T12:00:00Z",
    "deadline": "2026-03-02T12:40:00Z",
    "reason": "cpu_used_ratio is 0.84, wanted at most 0.9",
    "because": {"rule": "breach within horizon", "forecast": {"breach_probability": 0.93}},
    "parent_id": None,
}


class GoalSummary(BaseModel):
    """A goal with its state."""

    model_config = ConfigDict(json_schema_extra={"examples": [GOAL]})

    goal_id: str
    goal_type: GoalType
    rule: str = Field(description="The rule that set it and judges it; empty where it was set before rules were named")
    description: str
    state: GoalState
    progress: float = Field(description="Measured, 0 to 1")
    priority: float = Field(description="Probability × severity × urgency, 0 to 1")
    severity: float
    probability: float
    urgency: float
    objective: str | None
    series: str | None
    created_at: Moment
    since: Moment = Field(description="When it entered its state")
    deadline: Moment
    reason: str = Field(description="Why it is in its state")
    because: dict[str, Any] = Field(
        description="Why it was raised, as it was then: the reasoning, its evidence, the causes"
    )
    now: str = Field(default="", description="What was when it was set, and what is now, in words")
    informs: bool = Field(default=False, description="It says what keeps happening; other goals lead to acts")
    members: list[str] = Field(default_factory=list, description="The series it was set for, where many broke alike")
    parent_id: str | None


class GoalsOverview(BaseModel):
    """The goals, most important first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"total_active_goals": 1, "goals": [GOAL]}]})

    total_active_goals: int
    goals: list[GoalSummary]
    conflicts: list[str] = Field(
        default_factory=list, description="Pairs of open goals that pull one metric in opposite directions"
    )


class ActionDetail(BaseModel):
    """An action with everything recorded of it."""

    status: str = Field(
        description="waiting for approval, scheduled, rejected, expired, running, or the status of its receipt"
    )
    needs_approval: bool
    action: Action
    approval: Approval | None
    intent: Intent | None
    receipt: Receipt | None
    outcomes: list[Outcome] = Field(description="Its effects, compared with the forecast issued before it")
    undone_by: str | None = Field(default=None, description="The id of its undo, if one was requested")
    waits_for: str | None = Field(default=None, description="Why it is due but has not run, at the last check")
    early: ToldEarly | None = Field(
        default=None, description="What is clear of its effect before its window is over; null while nothing is"
    )
    sequence: SequenceShown | None = Field(
        default=None, description="The sequence that it is a step of, with what became of each step"
    )


class GoalDetail(GoalSummary):
    """A goal with its history, decisions, plans and actions."""

    history: list[Transition]
    decisions: list[Decision] = Field(description="The newest 50, newest first, each with its rejected alternatives")
    plans: list[Plan]
    actions: list[ActionDetail]
    objective_from: str | None = Field(description="Where its objective comes from; null where there is none now")
    children: list[GoalSummary] = Field(description="Open goals that are part of this one")


class AvailableAction(BaseModel):
    """An action that there is, as it is configured."""

    name: str
    summary: str
    level: str = Field(description="Its autonomy level as configured")
    risk: str
    enabled: bool
    reversible: bool = Field(description="Whether it can be undone here, as it is configured")
    ready: bool = Field(description="Whether the configuration gives it what it cannot do without")
    needs: list[str] = Field(description="Options of which one must be set before it proposes anything")
    options: dict[str, str] = Field(description="The keys of its section in foreact.toml and their meaning")
    parameters: dict[str, Any] = Field(description="JSON schema of its parameters, of which a form can be made")
    duration_s: float | None = Field(description="How long it works, as declared or else learned; null where neither")


class Actions(BaseModel):
    """The newest actions."""

    actions: list[ActionDetail]
    available: list[AvailableAction] | None = Field(
        default=None, description="Every action that there is; null unless it was asked for"
    )


class Answer(BaseModel):
    """A person's answer to an action that waits for approval; every field is optional."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"by": "ada", "note": "looks right"}]})

    by: SpeaksFor = "api"
    note: str = Field(default="", max_length=2_000)
    params: dict[str, Any] | None = Field(default=None, description="Parameters that replace the planned ones")


class Answered(BaseModel):
    """The result of an answer, a cancellation or an undo; it is on disk."""

    subject: str
    done: str
    action_ids: list[str] = Field(default_factory=list)
    flow_run_id: str | None = Field(default=None, description="The flow run started for it")
    note: str = ""
