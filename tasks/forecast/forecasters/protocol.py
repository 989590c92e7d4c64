"""What a forecaster is: a callable from columns of history to a batch of forecasts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from tasks.forecast.batch import Floats, ForecastBatch


class Forecaster(Protocol):
    """Forecasts every series of `values` (n, t), NaN where missing, as `tasks.forecast.forecast_batch` does."""

    def __call__(
        self,
        values: Floats,
        *,
        season_lengths: tuple[int, ...],
        horizon: int,
        levels: tuple[float, ...],
        seed: int,
    ) -> ForecastBatch: ...


class ForecasterFile(Protocol):
    """What a file of this folder holds: the names it answers to and a way to build the forecaster."""

    NAMES: tuple[str, ...]

    @staticmethod
    def build(detail: str, options: Mapping[str, Any]) -> Forecaster:
        """The forecaster for a name; `detail` is what followed the colon ("" if nothing did)."""
        ...
