"""Policies that know the day: the best constant configuration, and perfect foresight of the request rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from benchmarks.cluster.simulator import ClusterConfig, Period
from benchmarks.control.run import Command, dim, toward
from storage.records import FloatArray

FULL_SERVICE_S = 0.03863
LIGHT_SERVICE_S = 0.00129
TARGET_LOADS = (0.6, 0.7, 0.8, 0.9)
LOOK_AHEADS = (0, 2, 4, 8)
LOAD_BEFORE_DIMMING = 0.8


class Constant:
    """Go to one configuration and stay there."""

    def __init__(self, config: ClusterConfig, servers: int, dimmer: float) -> None:
        self.config, self.servers, self.dimmer = config, servers, dimmer

    def __call__(self, periods: Sequence[Period], history: FloatArray) -> list[Command]:
        """Keep going until it is reached."""
        return [dim(self.dimmer), *toward(self.servers, periods[-1], self.config)]


class Foresight:
    """Size the cluster on the true rates, early enough to boot one server after the other; dim what is not ready.

    `target_load` is the share of a warm server's capacity to plan with, `look_ahead` the periods of slack beyond the
    boot delay. The dimmer gives full content as far as the coldest server can bear at the period's true rate, and
    half of that after a late period, so that a backlog clears.
    """

    def __init__(self, config: ClusterConfig, rates: FloatArray, target_load: float, look_ahead: int) -> None:
        self.config, self.rates, self.look_ahead = config, rates, look_ahead
        self._boot_periods = math.ceil(config.boot_delay_s / config.period_s)
        self._sizes: FloatArray = np.ceil(rates * FULL_SERVICE_S / target_load - 1e-9).clip(1, config.max_servers)
        self._served: list[float] = []

    def __call__(self, periods: Sequence[Period], history: FloatArray) -> list[Command]:
        """Choose size and content for the period that begins."""
        now = periods[-1]
        step = len(periods)
        commands = toward(self._size(step, now.servers), now, self.config)
        self._follow(now, first_rates=[period.arrival_rate for period in periods])
        return [dim(self._dimmer(float(self.rates[step]), periods)), *commands]

    def _size(self, step: int, servers: int) -> int:
        """Return the size to go to: up when the last moment to start has come, down when none is needed soon."""
        ahead = self._sizes[step:]
        missing = ahead - servers
        latest_start = np.arange(len(ahead)) - self.look_ahead - missing * self._boot_periods
        if np.any((missing > 0) & (latest_start <= 0)):
            return servers + 1
        soon = int(ahead[: self._boot_periods + self.look_ahead + 1].max())
        return min(servers, soon)

    def _follow(self, now: Period, first_rates: Sequence[float]) -> None:
        """Keep count of the requests each place has had, which say how warm its cache is, a removed one's included."""
        if not self._served:
            share = sum(first_rates) * self.config.period_s / now.active_servers
            self._served = [share] * now.active_servers
            return
        share = now.arrival_rate * self.config.period_s / now.active_servers
        self._served += [0.0] * (now.active_servers - len(self._served))
        for place in range(now.active_servers):
            self._served[place] += share

    def _dimmer(self, rate: float, periods: Sequence[Period]) -> float:
        """Return the largest share of full content at which the coldest server keeps up."""
        config = self.config
        servers = periods[-1].active_servers
        booting = [period.servers > period.active_servers for period in periods[-self._boot_periods :]]
        if len(booting) == self._boot_periods and all(booting):
            servers += 1
        coldest = min([*self._served, 0.0][:servers])
        share = rate * config.period_s / servers
        chill: float = config.cache_decay ** (coldest + share / 2)
        full_s = FULL_SERVICE_S + config.cold_full_s * chill
        light_s = LIGHT_SERVICE_S + config.cold_light_s * chill
        bearable = (LOAD_BEFORE_DIMMING * servers / max(rate, 1e-9) - light_s) / (full_s - light_s)
        is_late = periods[-1].response_time_s > config.late_after_s
        return min(1.0, max(0.0, bearable)) * (0.5 if is_late else 1.0)
