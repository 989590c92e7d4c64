"""Forecasts of many metrics at once: calibrated quantiles, joint paths, breach probability and time.

`forecast_batch` is the entry point. `fit_fleet` and `forecast_chunk` are its two halves, for shards and for storing the
fit. `fleet` is the default forecaster, `risk` gives breach probabilities, `verification` compares forecasts with data.
"""

from tasks.forecast.batch import LEVELS, ForecastBatch
from tasks.forecast.fleet.fit import FleetState
from tasks.forecast.fleet.forecast import fit_fleet, forecast_batch
from tasks.forecast.fleet_snapshot import STORED_LEVELS
from tasks.forecast.model_store import earlier_residuals
from tasks.forecast.risk.outlook import Outlook
from tasks.forecast.running_times import with_running_times

__all__ = [
    "LEVELS",
    "STORED_LEVELS",
    "FleetState",
    "ForecastBatch",
    "Outlook",
    "earlier_residuals",
    "fit_fleet",
    "forecast_batch",
    "with_running_times",
]
