"""What is out of its depth, and a person's word that it no longer is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.models.agent import Reason
from api.models.goals import SpeaksFor
from storage.records import Moment


class DepthLost(BaseModel):
    """Something that asks first, because it is not as it was learned."""

    key: str = Field(description="`action:GOAL_TYPE:NAME`, `metric:NAME` or `world`")
    since: Moment
    until: Moment = Field(description="When calm ends it, unless trouble comes again")
    reason: str


class Depth(BaseModel):
    """All that is out of its depth now; acts that it concerns wait for approval."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "lost": [
                        {
                            "key": "action:BOTTLENECK_PREVENTION:shed",
                            "since": "2026-03-13T07:00:00Z",
                            "until": "2026-03-16T07:00:00Z",
                            "reason": "shed asks first for BOTTLENECK_PREVENTION: its last act made things worse.",
                        }
                    ],
                    "note": None,
                }
            ]
        }
    )

    lost: list[DepthLost]
    note: str | None


class TrustIn(BaseModel):
    """A person's word that something is in its depth again."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"key": "metric:latency", "note": "the new release swings more"}]},
    )

    key: str = Field(min_length=1, max_length=500, description="As it is listed")
    note: Reason
    by: SpeaksFor = "api"
