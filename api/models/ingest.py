"""Metrics and events as they are sent in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

MAX_LABELS = 200
MAX_NAME_CHARS = 200
MAX_LABEL_CHARS = 1_000
_RESERVED = frozenset('{}"')


def _is_plain(text: str) -> str:
    """Refuse what a series key like `disk_used_ratio{mount="/"}` could not be read back from."""
    if not _RESERVED.isdisjoint(text) or not text.isprintable():
        raise PydanticCustomError("name_unusable", "must not contain braces, double quotes or control characters")
    return text


def _in_utc(moment: datetime) -> datetime:
    """Take a time without a zone for UTC."""
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("time_unusable", "is outside the calendar") from None


def _has_few(labels: dict[str, str]) -> dict[str, str]:
    if len(labels) > MAX_LABELS:
        raise PydanticCustomError("too_many_labels", f"has {len(labels)} labels; at most {MAX_LABELS} are allowed")
    return labels


def _is_strict_json(metadata: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(metadata, allow_nan=False)
    except ValueError:
        raise PydanticCustomError("not_finite", "contains NaN or infinity, which JSON does not allow") from None
    return metadata


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME_CHARS),
    AfterValidator(_is_plain),
]
LabelText = Annotated[str, StringConstraints(max_length=MAX_LABEL_CHARS), AfterValidator(_is_plain)]
Labels = Annotated[dict[Name, LabelText], AfterValidator(_has_few)]
Timestamp = Annotated[datetime, AfterValidator(_in_utc)]

_TIMESTAMP = Field(
    default=None, description="When it was measured: ISO 8601 (UTC without a zone) or Unix seconds; default: now"
)


class MetricIn(BaseModel):
    """One value of one metric."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"metric_name": "cpu_usage", "value": 75.5}]},
    )

    metric_name: Name
    value: Annotated[float, Field(strict=True, allow_inf_nan=False)]
    timestamp: Timestamp | None = _TIMESTAMP
    labels: Labels = Field(default_factory=dict)
    unit: Annotated[str, StringConstraints(max_length=50), AfterValidator(_is_plain)] = ""


class EventIn(BaseModel):
    """Something that happened."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"event_type": "user_login", "metadata": {"user_id": "123"}}]},
    )

    event_type: Name
    metadata: Annotated[dict[str, Any], AfterValidator(_is_strict_json)] = Field(default_factory=dict)
    timestamp: Timestamp | None = _TIMESTAMP
    labels: Labels = Field(default_factory=dict)


class Recorded(BaseModel):
    """What was recorded; it is on disk."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"recorded": 1}]})

    recorded: int = Field(description="Rows now on disk")
