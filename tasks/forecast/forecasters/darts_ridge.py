"""The darts-native fallback: one ridge regression over all series, with a full cycle of lags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage.errors import ForeactError
from tasks.forecast.forecasters.darts_model import DartsForecaster
from tasks.forecast.forecasters.protocol import Forecaster

NAMES = ("darts_ridge",)
SHORTEST_LAGS = 12
LONGEST_CHUNK = 48


def build(detail: str, options: Mapping[str, Any]) -> Forecaster:
    """The global ridge; option `alpha` ≥ 0 is its penalty. Raises ForeactError on any other option or value."""
    alpha = options.get("alpha", 1.0)
    if set(options) - {"alpha"} or not (isinstance(alpha, int | float) and 0 <= alpha < float("inf")):
        raise ForeactError(
            code="unknown_forecaster_option",
            message=f"darts_ridge takes alpha, a number of at least 0, got {dict(options)}.",
            remedy="Give alpha or nothing.",
        )

    def model(season: int, horizon: int) -> Any:
        from darts.models import SKLearnModel
        from sklearn.linear_model import Ridge

        return SKLearnModel(
            model=Ridge(alpha=alpha),
            lags=max(season, SHORTEST_LAGS),
            output_chunk_length=min(horizon, LONGEST_CHUNK),
        )

    return DartsForecaster("darts_ridge", model)
