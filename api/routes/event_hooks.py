"""Events from programs that tell them in a form of their own: Alertmanager and whatever speaks CloudEvents."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import TypeAdapter, ValidationError

from api import commands
from api.dependencies import FacadeDep
from api.models.foreign_events import AlertGroup, CloudEvent, in_headers
from api.models.ingest import Recorded
from storage.errors import ForeactError, describe

ENVELOPE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
MEDIA_TYPES = {"/api/autonomous/events/cloudevents": (ENVELOPE, BATCH, "application/json", "")}
"""An event whose attributes are in the headers may come without data, and so without a type of it."""

router = APIRouter(tags=["record"])

_ONE, _MANY = TypeAdapter(CloudEvent), TypeAdapter(list[CloudEvent])


@router.post("/events/alertmanager", summary="Alertmanager webhook")
def alertmanager(group: AlertGroup, facade: FacadeDep) -> Recorded:
    """Record alerts as `alert_firing:NAME` and `alert_resolved:NAME`; one that is told again is recorded once."""
    oldest = facade.clock() - timedelta(days=facade.settings.storage.samples_days)
    events = [event for event in group.events() if event.timestamp is None or event.timestamp >= oldest]
    return Recorded(recorded=commands.ingest.record_events(facade, events))


_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            ENVELOPE: {"schema": CloudEvent.model_json_schema()},
            BATCH: {"schema": {"type": "array", "items": CloudEvent.model_json_schema()}},
            "application/json": {"schema": {"description": "The data of an event whose attributes are ce- headers"}},
        },
    }
}


@router.post("/events/cloudevents", summary="CloudEvents", openapi_extra=_BODY)
async def cloudevents(request: Request, facade: FacadeDep) -> Recorded:
    """Record CloudEvents: one, a batch, or one with its attributes in headers."""
    body = await request.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == BATCH:
            told = _MANY.validate_json(body)
        elif kind == ENVELOPE:
            told = [_ONE.validate_json(body)]
        else:
            told = [_ONE.validate_python(in_headers(request.headers, body))]
        events = [each.event() for each in told]
    except ValidationError as trouble:
        raise _unusable(trouble) from None
    return Recorded(recorded=await run_in_threadpool(commands.ingest.record_events, facade, events))


def _unusable(trouble: ValidationError) -> ForeactError:
    errors = trouble.errors(include_url=False, include_context=False, include_input=False)
    is_json = errors[0]["type"] != "json_invalid"
    return ForeactError(
        "event_invalid" if is_json else "json_invalid",
        f"{describe(errors)} Nothing was recorded.",
        "Correct it and send it again: https://github.com/cloudevents/spec describes the fields.",
        status=422 if is_json else 400,
    )
