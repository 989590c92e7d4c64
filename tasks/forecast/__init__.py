"""Forecasts of many metrics at once: calibrated quantiles, joint paths, breach probability and time.

`forecast_batch` is the way in. `fit_fleet` and `forecast_chunk` are its two halves, for shards and for keeping what was
fitted. What became of forecasts: `ledger`, `recalibrate`, `state`.
"""

from tasks.forecast.batch import LEVELS, ForecastBatch, concatenate
from tasks.forecast.fit import FleetState, fit_fleet
from tasks.forecast.fleet import forecast_batch, forecast_chunk
from tasks.forecast.ledger import Ledger, calibration_offsets, error_blocks
from tasks.forecast.recalibrate import Recalibration, Reliability, fit_recalibration, reliability
from tasks.forecast.state import joint_paths

__all__ = [
    "LEVELS",
    "FleetState",
    "ForecastBatch",
    "Ledger",
    "Recalibration",
    "Reliability",
    "calibration_offsets",
    "concatenate",
    "error_blocks",
    "fit_fleet",
    "fit_recalibration",
    "forecast_batch",
    "forecast_chunk",
    "joint_paths",
    "reliability",
]
