"""Forecasts: what will happen."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api import queries
from api.dependencies import FacadeDep
from api.models.forecasts import Predictions

router = APIRouter(tags=["forecasts"])

MAX_HORIZON_HOURS = 720


@router.get("/predictions")
def predictions(
    facade: FacadeDep,
    horizon_hours: Annotated[float, Query(gt=0, le=MAX_HORIZON_HOURS, description="How far ahead, in hours")] = 24,
    series: Annotated[str | None, Query(max_length=10_000, description="One series only")] = None,
) -> Predictions:
    """Return the forecasts of the newest cycle with intervals, likely breaches and the predicted state."""
    return queries.forecasts.predictions(facade, horizon_hours, series)
