"""Forecasts of many metrics at once: calibrated quantiles, joint paths, breach probability and time.

`forecast_batch` is the way in. `fit_fleet` and `forecast_chunk` are its two halves, for shards and for keeping what was
fitted; `snap` makes regular columns of irregular samples. What became of forecasts: `ledger`, `recalibrate`, `state`.
"""

from tasks.forecast.batch import LEVELS, ForecastBatch, LeadTime, concatenate
from tasks.forecast.fit import FleetState, fit_fleet
from tasks.forecast.fleet import forecast_batch, forecast_chunk
from tasks.forecast.grid import Grid, snap, typical_interval_s
from tasks.forecast.ledger import Ledger, calibration_offsets, coverage, error_blocks, extend, resolve
from tasks.forecast.recalibrate import Recalibration, Reliability, fit_recalibration, reliability
from tasks.forecast.state import Limits, StateForecast, joint_paths, predict_state

__all__ = [
    "LEVELS",
    "FleetState",
    "ForecastBatch",
    "Grid",
    "LeadTime",
    "Ledger",
    "Limits",
    "Recalibration",
    "Reliability",
    "StateForecast",
    "calibration_offsets",
    "concatenate",
    "coverage",
    "error_blocks",
    "extend",
    "fit_fleet",
    "fit_recalibration",
    "forecast_batch",
    "forecast_chunk",
    "joint_paths",
    "predict_state",
    "reliability",
    "resolve",
    "snap",
    "typical_interval_s",
]
