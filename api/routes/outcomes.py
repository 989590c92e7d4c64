"""Outcomes: what each act really changed, with its interval, and as a picture."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from api import queries
from api.dashboard import outcome_pictures
from api.dashboard.rendering import HEADERS_OF_PICTURE
from api.dependencies import FacadeDep
from api.models.outcomes import OutcomeDetail, Outcomes

router = APIRouter(tags=["outcomes"])


class SvgResponse(Response):
    """A drawing."""

    media_type = "image/svg+xml"


@router.get("/outcomes")
def outcomes(
    facade: FacadeDep,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 50,
    action_id: Annotated[str | None, Query(description="All outcomes of one action, side effects included")] = None,
) -> Outcomes:
    """Return the newest outcomes on targets and guard metrics, or all of one action."""
    return queries.outcomes.latest(facade, limit, action_id)


@router.get("/outcomes/{outcome_id}")
def outcome(outcome_id: str, facade: FacadeDep) -> OutcomeDetail:
    """Return one outcome with the estimand recorded before its action."""
    return queries.outcomes.detail(facade, outcome_id)


@router.get(
    "/outcomes/{outcome_id}/picture",
    response_class=SvgResponse,
    responses={200: {"content": {"image/svg+xml": {}}, "description": "The chart, as SVG"}},
)
def picture(outcome_id: str, facade: FacadeDep) -> Response:
    """Draw an outcome: history, forecast with its interval, observed values, the action and its effect."""
    return SvgResponse(outcome_pictures.picture_of(facade, outcome_id), headers=HEADERS_OF_PICTURE)
