"""Forecasts of many metrics at once: calibrated quantiles, joint paths, breach probability and time.

`forecast_batch` is the entry point. `fit_fleet` and `forecast_chunk` are its two halves, for shards and for storing the
fit. `fleet` is the default forecaster, `risk` gives breach probabilities, `verification` compares forecasts with data.
"""

from tasks.forecast.batch import LEVELS, ForecastBatch, concatenate
from tasks.forecast.fleet.fit import FleetState, fit_fleet
from tasks.forecast.fleet.forecast import forecast_batch, forecast_chunk
from tasks.forecast.model_store import earlier_residuals
from tasks.forecast.risk.outlook import Outlook
from tasks.forecast.risk.recalibration import Recalibration, Reliability, fit_recalibration, reliability
from tasks.forecast.risk.state import joint_paths
from tasks.forecast.verification.error_ledger import Ledger, calibration_offsets, error_blocks

__all__ = [
    "LEVELS",
    "FleetState",
    "ForecastBatch",
    "Ledger",
    "Outlook",
    "Recalibration",
    "Reliability",
    "calibration_offsets",
    "concatenate",
    "earlier_residuals",
    "error_blocks",
    "fit_fleet",
    "fit_recalibration",
    "forecast_batch",
    "forecast_chunk",
    "joint_paths",
    "reliability",
]
