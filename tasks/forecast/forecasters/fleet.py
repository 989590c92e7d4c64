"""The default: all series at once, each as well as its history allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage.errors import ForeactError
from tasks.forecast.fleet.forecast import forecast_batch
from tasks.forecast.forecasters.protocol import Forecaster

NAMES = ("fleet", "ensemble")


def build(detail: str, options: Mapping[str, Any]) -> Forecaster:
    """The fleet forecaster; it takes no options, as it tunes itself. Raises ForeactError if given one."""
    if options:
        raise ForeactError(
            code="unknown_forecaster_option",
            message=f"The fleet forecaster takes no options, got {', '.join(sorted(options))}.",
            remedy="Remove them; it tunes itself by a backtest.",
        )
    return forecast_batch
