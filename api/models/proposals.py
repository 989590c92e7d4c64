"""What somebody else than the loop proposes for a goal, and who proposes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from storage.records import Autonomy, Moment

Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000)]


class ProposalIn(BaseModel):
    """An action for a goal: a registered one, with parameters as its schema has them, and why."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"action": "renice_process", "params": {"pid": 4711, "nice": 10}, "reason": "It is a backup."}]
        },
    )

    action: str = Field(min_length=1, max_length=200, description="A name that GET actions?available=true lists")
    params: dict[str, Any] = Field(default_factory=dict, description="Its parameters")
    reason: Reason = Field(description="Why this helps, for the people who decide and for the audit trail")
    by: str = Field(
        default="api",
        min_length=1,
        max_length=200,
        description="Whom the caller speaks for; one with an API key is judged by the name of the key alone",
    )


class Proposed(BaseModel):
    """A proposal that was taken down; it is on disk."""

    action_id: str
    goal_id: str
    status: str = Field(description="As of every action: waiting for approval, or scheduled")
    level: Autonomy = Field(description="What may be done with it without a person")
    proposed_by: str
    flow_run_id: str | None = Field(default=None, description="The flow run started for it")
    note: str = Field(description="What happens next")


class Proposer(BaseModel):
    """One who proposes, and what came of it."""

    name: str
    level: Autonomy = Field(description="observe: refused; approve: a person decides; auto: done as the loop's own")
    since: Moment
    reason: str
    proposals: int
    acts: int = Field(description="How many were carried out")
    measured: int = Field(description="Of how many the effect is known")


class Proposers(BaseModel):
    """Those who propose, by name."""

    proposers: list[Proposer]
