"""Metrics and events in: one or a list, all or nothing, durable when it is answered."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, TypeAdapter, ValidationError

from api import commands
from api.dependencies import FacadeDep, facade
from api.facade import Facade
from api.models.ingest import EventIn, MetricIn, Recorded
from storage.errors import ForeactError

router = APIRouter(tags=["record"])

_METRICS = TypeAdapter(list[MetricIn])
_EVENTS = TypeAdapter(list[EventIn])
READ_AT_ONCE_BYTES = 16_384
"""A body as small as this is read faster than it is handed to another thread."""
M = TypeVar("M", MetricIn, EventIn)


def _body(model: type[BaseModel], example: dict[str, Any], extended: dict[str, Any]) -> dict[str, Any]:
    """Describe a body which is one item or a list of them: it is read by hand, for the sake of speed."""
    schema = model.model_json_schema()
    examples = {
        "one": {"summary": "As documented", "value": example},
        "list": {"summary": "A list, with every field used", "value": [example, extended]},
    }
    content = {"schema": {"oneOf": [schema, {"type": "array", "items": schema}]}, "examples": examples}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


_METRIC_BODY = _body(
    MetricIn,
    {"metric_name": "cpu_usage", "value": 75.5},
    {
        "metric_name": "latency",
        "value": 150.0,
        "timestamp": "2026-03-02T12:00:00Z",
        "labels": {"endpoint": "/users"},
        "unit": "ms",
    },
)
_EVENT_BODY = _body(
    EventIn,
    {"event_type": "user_login", "metadata": {"user_id": "123"}},
    {"event_type": "deploy", "timestamp": "2026-03-02T12:00:00Z", "labels": {"service": "users"}},
)


@router.post("/metrics", status_code=201, response_model=Recorded, openapi_extra=_METRIC_BODY, summary="Record metrics")
async def record_metrics(request: Request) -> Response:
    """Record a value, or a list of them. A new metric needs no registration."""
    # Asked for here: what FastAPI puts in by itself it calls in another thread, which takes longer than all the rest.
    running, body = facade(request), await request.body()
    if len(body) <= READ_AT_ONCE_BYTES:
        columns = commands.ingest.metric_columns(running, body)
    else:
        columns = await run_in_threadpool(commands.ingest.metric_columns, running, body)
    if columns is None:
        count = await run_in_threadpool(_record_metrics, running, body)
    else:
        await running.commits.append(running.store.samples.append_columns, columns)
        count = len(columns.numbers)
        running.counters.add("samples", count)
    return Response(b'{"recorded":%d}' % count, 201, media_type="application/json")


@router.post("/events", status_code=201, openapi_extra=_EVENT_BODY, summary="Record events")
async def record_events(request: Request, facade: FacadeDep) -> Recorded:
    """Record an event, or a list of them. The same event at the same moment is recorded once."""
    body = await request.body()
    return await run_in_threadpool(_record_events, facade, body)


def _record_metrics(facade: Facade, body: bytes) -> int:
    return commands.ingest.record_metrics(facade, *_parse(_METRICS, body))


def _record_events(facade: Facade, body: bytes) -> Recorded:
    return Recorded(recorded=commands.ingest.record_events(facade, *_parse(_EVENTS, body)))


def _parse(adapter: TypeAdapter[list[M]], body: bytes) -> tuple[list[M], bool]:
    """Read one item or a list, and tell which; raises on the first that cannot be read, naming it by its index."""
    is_list = body.lstrip()[:1] == b"["
    try:
        items = adapter.validate_json(body if is_list else b"[" + body + b"]")
    except ValidationError as trouble:
        raise _unusable(trouble, is_list) from None
    if not is_list and len(items) != 1:
        raise ForeactError("json_invalid", "The body is not one JSON document.", "Send an object, or a list of them.")
    return items, is_list


def _unusable(trouble: ValidationError, is_list: bool) -> ForeactError:
    error = trouble.errors(include_url=False, include_context=False, include_input=False)[0]
    if error["type"] == "json_invalid":
        detail = f"The body is not valid JSON: {error['msg'].partition(': ')[2]}."
        return ForeactError("json_invalid", detail, "Send one JSON document.")
    index, *where = error["loc"]
    return commands.ingest.unusable(error["msg"], int(index) if is_list else None, where)
