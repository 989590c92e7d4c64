"""Forecasts of many metrics at once: calibrated quantiles, joint paths, breach probability and time."""

from tasks.forecast.batch import LEVELS, ForecastBatch, LeadTime
from tasks.forecast.fit import FleetState, fit_fleet
from tasks.forecast.fleet import forecast_batch, forecast_chunk
from tasks.forecast.grid import Grid, snap, typical_interval_s

__all__ = [
    "LEVELS",
    "FleetState",
    "ForecastBatch",
    "Grid",
    "LeadTime",
    "fit_fleet",
    "forecast_batch",
    "forecast_chunk",
    "snap",
    "typical_interval_s",
]
