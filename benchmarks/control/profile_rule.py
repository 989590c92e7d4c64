"""A crude seasonal-profile rule: yesterday's shape at today's level, sized with a margin, dimmed where it must be."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from benchmarks.cluster.simulator import ClusterConfig, Period
from benchmarks.control.run import Command, dim, toward
from storage.records import FloatArray

TARGET_LOAD = 0.70
SPARE_PERIODS = 3
LEVEL_PERIODS = 2
LIGHT_SHARE = 0.034


def profile_ahead(rates: FloatArray, season: int, horizon: int, trust: float = 0.6) -> FloatArray:
    """Continue a rate: its present level times the past days' relative change since this phase, to the power trust.

    `rates` (steps,) positive, oldest first, at least a season and `LEVEL_PERIODS` long; returns (horizon,). A level
    that differs from day to day then shifts the profile as a factor, and a shape that does not repeat is not
    followed all the way.
    """
    logs = np.log(np.maximum(rates, 1e-3))
    level = logs[-LEVEL_PERIODS:].mean()
    changes = []
    for start in range(len(logs) - season, LEVEL_PERIODS - 1, -season):
        past = logs[start : start + horizon]
        past = np.pad(past, (0, horizon - len(past)), mode="edge")
        changes.append(past - logs[start - LEVEL_PERIODS : start].mean())
    return np.asarray(np.exp(level + trust * np.mean(changes, axis=0)), dtype=float)


class ProfileRule:
    """Size for the highest rate that the profile reaches while a server could boot; dim what servers cannot bear."""

    def __init__(self, config: ClusterConfig, season: int) -> None:
        self.config = config
        self.season = season
        self.horizon = math.ceil(config.boot_delay_s / config.period_s) + SPARE_PERIODS

    def __call__(self, periods: Sequence[Period], history: FloatArray) -> list[Command]:
        """Choose size and content for the period that begins."""
        now = periods[-1]
        rates = np.concatenate((history, [period.arrival_rate for period in periods]))
        ahead = profile_ahead(rates, self.season, self.horizon)
        servers = math.ceil(float(ahead.max()) * self.config.nominal_service_s / TARGET_LOAD)
        load = float(ahead[0]) * self.config.nominal_service_s / min(now.active_servers, max(servers, 1))
        bearable = (TARGET_LOAD / max(load, 1e-9) - LIGHT_SHARE) / (1.0 - LIGHT_SHARE)
        return [dim(min(1.0, max(0.0, bearable))), *toward(servers, now, self.config)]
