"""One number about the future, for an autoscaler."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api.dependencies import FacadeDep
from api.models.value_ahead import ValueAhead
from api.queries.ahead import value_ahead

router = APIRouter(tags=["forecasts"])


@router.get("/predictions/value", summary="One number ahead, for KEDA")
def predicted_value(
    facade: FacadeDep,
    series: Annotated[str, Query(max_length=10_000, description="A series, or a metric that has one")],
    quantile: Annotated[float, Query(ge=0.01, le=0.99, description="How sure to be that it will not be more")] = 0.9,
    within_seconds: Annotated[float, Query(gt=0, le=2_592_000, description="How far ahead to look")] = 600,
) -> ValueAhead:
    """Return the highest value that a quantile of the forecast has within a time: what there should be capacity for.

    KEDA's `metrics-api` scaler reads it with `valueLocation: value`. Where forecasts are not renewed the answer is 503,
    so that its fallback takes over.
    """
    return value_ahead(facade, series, quantile, within_seconds)
