"""Whether the facade is alive, whether it can do its work, and its figures for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from api.facade import FacadeDep
from api.queries.telemetry import registry
from storage.errors import ForeactError

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The answer of a facade that is well."""

    status: str
    checks: dict[str, str]


@router.get("/healthz")
async def healthz() -> Health:
    """Report that the process is alive; nothing else is checked."""
    return Health(status="ok", checks={})


@router.get("/readyz")
def readyz(facade: FacadeDep) -> Health:
    """Report that the store is readable and all background threads run, or name what does not."""
    facade.store.facts.get("readyz")
    stopped = sorted(name for name, check in facade.checks.items() if not check())
    if stopped:
        detail = f"Not running: {', '.join(stopped)}."
        raise ForeactError("not_ready", detail, "See the facade's log, then restart it.", status=503)
    return Health(status="ok", checks={"store": "ok"} | dict.fromkeys(facade.checks, "ok"))


@router.get("/metrics", response_class=Response, responses={200: {"content": {CONTENT_TYPE_LATEST: {}}}})
def metrics(facade: FacadeDep) -> Response:
    """Return the loop's metrics in the Prometheus text format."""
    return Response(generate_latest(registry(facade)), media_type=CONTENT_TYPE_LATEST)
