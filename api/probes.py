"""Whether the facade is alive, whether it can do its work, and its figures for Prometheus."""

from __future__ import annotations

import shutil

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from api.dependencies import FacadeDep
from api.queries.telemetry import registry
from settings import Settings, child_environment
from storage.engine.protocol import disk_full
from storage.errors import ForeactError

LEAST_ROOM_BYTES = 1_000_000
"""With less room one row can still be written, and no more."""

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The answer of a facade that is well."""

    status: str
    checks: dict[str, str]
    folder: str | None = Field(default=None, description="Whose stack this is; told to who may read")
    stack: str | None = Field(default=None, description="Which start of it; null for a facade on its own")


@router.get("/healthz")
async def healthz(request: Request) -> Health:
    """Answer that the process is alive, and whose it is; nothing else is looked at."""
    if request.scope["foreact.caller"] is None:
        return Health(status="ok", checks={})
    settings: Settings = request.app.state.settings
    return Health(status="ok", checks={}, folder=str(settings.folder), stack=child_environment({}).get("FOREACT_STACK"))


@router.get("/readyz")
def readyz(facade: FacadeDep) -> Health:
    """Answer that the store reads and writes and that the workers run; else a problem that names what does not."""
    facade.store.probe()
    facade.store.probe_write()
    if shutil.disk_usage(facade.settings.home).free < LEAST_ROOM_BYTES:
        raise disk_full()
    stopped = sorted(name for name, check in facade.checks.items() if not check())
    if stopped:
        detail = f"Not running: {', '.join(stopped)}."
        raise ForeactError("not_ready", detail, "See the facade's log, then restart it.", status=503)
    return Health(status="ok", checks={"store": "ok"} | dict.fromkeys(facade.checks, "ok"))


@router.get("/metrics", response_class=Response, responses={200: {"content": {CONTENT_TYPE_LATEST: {}}}})
def metrics(facade: FacadeDep) -> Response:
    """Return the loop's figures in the Prometheus text format."""
    return Response(generate_latest(registry(facade)), media_type=CONTENT_TYPE_LATEST)
