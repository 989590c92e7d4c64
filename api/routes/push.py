"""What other programs push, under the addresses and in the formats that their own servers have."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from api.commands.record_points import Taken, record_points
from api.dependencies import FacadeDep
from api.error_responses import MEDIA_TYPE as PROBLEM_TYPE
from api.error_responses import problem
from api.facade import Facade
from api.models.line_protocol import read_line_protocol
from api.models.otlp import answer, read_otlp
from api.models.points import Pushed
from api.models.remote_write import MEDIA_TYPE as PROTOBUF
from api.models.remote_write import read_remote_write
from api.models.unpack import unpacked
from storage.errors import ForeactError

PREFIX = ""
"""These addresses are those that the senders know."""
TEXT = ("text/plain", "application/octet-stream")
MEDIA_TYPES = {
    "/api/v1/write": (PROTOBUF,),
    "/v1/metrics": (PROTOBUF, "application/json"),
    "/write": TEXT,
    "/api/v2/write": TEXT,
}
"""What each address reads."""
SECOND_VERSION = "io.prometheus.write.v2"

router = APIRouter(tags=["record"])

Packing = Annotated[str, Header(alias="content-encoding", description="How the body is packed")]
ContentType = Annotated[str, Header(alias="content-type")]


def _body(path: str) -> dict[str, Any]:
    schema = {"schema": {"type": "string", "format": "binary"}}
    return {"requestBody": {"required": True, "content": dict.fromkeys(MEDIA_TYPES[path], schema)}}


@router.post("/api/v1/write", status_code=204, openapi_extra=_body("/api/v1/write"), summary="Prometheus remote write")
async def remote_write(
    request: Request, facade: FacadeDep, content_type: ContentType = "", packing: Packing = "snappy"
) -> Response:
    """Record what a Prometheus server sends with `remote_write`, in version 1.0 of the protocol."""
    if SECOND_VERSION in content_type:
        detail = "Version 2 of remote write is not read. Nothing was recorded."
        remedy = "Send prometheus.WriteRequest, the default `protobuf_message` of Prometheus."
        raise ForeactError("content_type_unknown", detail, remedy, status=415)
    body = await request.body()
    taken = await run_in_threadpool(lambda: record_points(facade, read_remote_write(_unpacked(facade, body, packing))))
    _refuse(taken)
    return Response(status_code=204)


@router.post("/v1/metrics", openapi_extra=_body("/v1/metrics"), summary="OTLP metrics", response_class=Response)
async def otlp(
    request: Request, facade: FacadeDep, content_type: ContentType = "", packing: Packing = "identity"
) -> Response:
    """Record what OpenTelemetry exports over HTTP. Points that are refused are told in `partialSuccess`."""
    kind = content_type.partition(";")[0].strip().lower()
    body = await request.body()
    taken = await run_in_threadpool(lambda: record_points(facade, read_otlp(_unpacked(facade, body, packing), kind)))
    refusal = taken.refusal
    return Response(answer(taken.refused, refusal.message if refusal else "", kind), media_type=kind)


@router.post("/write", status_code=204, openapi_extra=_body("/write"), summary="InfluxDB 1 line protocol")
@router.post("/api/v2/write", status_code=204, openapi_extra=_body("/api/v2/write"), summary="InfluxDB 2 line protocol")
async def line_protocol(
    request: Request,
    facade: FacadeDep,
    precision: Annotated[str, Query(description="Unit of the lines' times: ns, us, ms or s")] = "ns",
    packing: Packing = "identity",
) -> Response:
    """Record line protocol, as Telegraf and InfluxDB's clients send it; each field that is a number is a metric."""
    body = await request.body()

    def read() -> Pushed:
        return read_line_protocol(_unpacked(facade, body, packing), precision)

    taken = await run_in_threadpool(lambda: record_points(facade, read()))
    return Response(status_code=204) if taken.refusal is None else _partial_write(taken.refusal, request.url.path)


def _unpacked(facade: Facade, body: bytes, packing: str) -> bytes:
    return unpacked(body, packing, facade.settings.server.max_body_bytes)


def _refuse(taken: Taken) -> None:
    if taken.refusal is not None:
        raise taken.refusal


def _partial_write(refusal: ForeactError, path: str) -> Response:
    """Answer with a problem that says it in InfluxDB's words too: Telegraf sends all again unless it reads these."""
    said = problem(refusal.status, refusal.code, refusal.message, refusal.remedy, path)
    content = {**json.loads(bytes(said.body)), "error": f"partial write: unable to parse: {refusal.message}"}
    return Response(json.dumps(content), refusal.status, media_type=PROBLEM_TYPE)
