"""Every error as one shape: RFC 9457 `application/problem+json` with a stable code and a remedy."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from storage.errors import ForeactError, TransientError, describe

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
TOO_LARGE_REMEDY = "Send it in parts, or increase `server.max_body_bytes`."

_HTTP = {
    404: ("not_found", "There is nothing at this address.", "GET /docs lists every address."),
    405: (
        "method_not_allowed",
        "This address does not accept that method.",
        "The Allow header lists the accepted methods.",
    ),
    413: ("body_too_large", None, TOO_LARGE_REMEDY),
    408: ("body_too_slow", None, "Send it in parts, or increase `server.body_timeout_seconds`."),
}


class Problem(BaseModel):
    """What went wrong and what to do."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Not Found",
                "status": 404,
                "detail": "There is no goal goal-1.",
                "code": "goal_unknown",
                "remedy": "GET /api/autonomous/goals lists the goals.",
                "instance": "/api/autonomous/goals/goal-1",
            }
        }
    )

    type: str = "about:blank"
    title: str = Field(description="The name of the status")
    status: int
    detail: str = Field(description="What happened, in one line")
    code: str = Field(description="Stable and machine-readable")
    remedy: str = Field(description="What to do about it")
    instance: str = Field(description="The requested address")


def problem(
    status: int, code: str, detail: str, remedy: str, instance: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a problem as a response."""
    body = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, code=code, remedy=remedy, instance=instance
    )
    return Response(body.model_dump_json(), status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def unexpected(path: str) -> Response:
    """Log the exception in flight under a fresh id and return a problem that tells the id and nothing else."""
    number = secrets.token_hex(4)
    logger.exception("unexpected error %s at %s", number, path)
    return problem(
        500,
        "unexpected",
        f"An unexpected error occurred; it is logged as {number}.",
        f"Find {number} in the facade's log and report it.",
        path,
    )


def install(app: FastAPI) -> None:
    """Make every error of an application a problem."""
    app.add_exception_handler(ForeactError, _refused)
    app.add_exception_handler(TransientError, _transient)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        document["components"]["schemas"].setdefault("Problem", Problem.model_json_schema())
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ForeactError)
    return problem(error.status, error.code, error.message, error.remedy, request.url.path)


def _transient(request: Request, error: Exception) -> Response:
    return problem(
        503,
        "temporarily_unavailable",
        f"{error}.".replace("..", "."),
        f"Try again in {RETRY_AFTER_S} s.",
        request.url.path,
        {"Retry-After": str(RETRY_AFTER_S)},
    )


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = error.errors()
    if errors[0]["type"] == "json_invalid":
        detail = f"The body is not valid JSON: {errors[0]['ctx']['error']} at position {errors[0]['loc'][-1]}."
        return problem(400, "json_invalid", detail, "Send one JSON document.", request.url.path)
    remedy = "Correct it and send it again; GET /docs describes the fields."
    return problem(422, "request_invalid", describe(errors), remedy, request.url.path)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, detail, remedy = _HTTP.get(error.status_code, ("http_error", None, "GET /docs describes every address."))
    return problem(error.status_code, code, detail or str(error.detail), remedy, request.url.path, error.headers)


STATUSES = {
    400: "The body is no JSON, or what was asked makes no sense",
    401: "An API key is needed",
    403: "The key may not do this, or a page of another site asks",
    404: "There is no such thing",
    405: "The address does not accept this method",
    408: "The body did not arrive in time",
    409: "It cannot be done as things stand",
    413: "The body is too large",
    415: "The body is not declared as JSON",
    421: "The host name is not accepted",
    422: "A field cannot be used",
    429: "The caller sends too many requests",
    503: "The store or Prefect does not answer at the moment",
    507: "There is no room left to write",
}
"""Every status of a refusal."""


def documented() -> dict[int | str, dict[str, Any]]:
    """Return how errors appear in the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    named: dict[int | str, dict[str, Any]] = {
        status: {"description": text, "content": content} for status, text in STATUSES.items()
    }
    return {**named, "default": {"description": "Any error", "content": content}}
