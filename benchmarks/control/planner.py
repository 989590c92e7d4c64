"""What planning on the driver's paths is worth here: the project's own amount planner, wired by hand.

It is no part of the loop. It shows what the loop can reach with two actions and what it has to be told: the load
per server follows from the request rate, full content weighs thirty times light content, and a new server is slow
at first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from benchmarks.cluster.simulator import ClusterConfig, Period
from benchmarks.control.profile_rule import LEVEL_PERIODS, profile_ahead
from benchmarks.control.run import Command, dim, toward
from storage.records import FloatArray
from tasks.drivers.responses import RatioResponse
from tasks.plan import AmountRules, plan_amounts, stage_losses

FULL_SERVICE_S = 0.0386
LIGHT_SHARE = 0.034
LOAD_BOUND = 0.8
LOAD_SD = 0.1
SERVER_COST = 0.025
DIMMING_COST = 0.2
ANY_DIMMING_COST = 0.25
SLOW_AT_FIRST = 1.3
SETTLING_S = 150.0
HORIZON = 24
ORIGIN_STRIDE = 3
LEVELS = np.linspace(0.0, 1.0, 21)


def profile_paths(rates: FloatArray, season: int, horizon: int) -> FloatArray:
    """Return sample paths (n_paths, horizon): the profile's continuation, each with the error it made at one time."""
    logs = np.log(np.maximum(rates, 1e-3))
    ahead = np.log(profile_ahead(rates, season, horizon))
    origins = range(len(rates) - horizon, season + LEVEL_PERIODS, -ORIGIN_STRIDE)
    errors = [
        logs[origin : origin + horizon] - np.log(profile_ahead(rates[:origin], season, horizon)) for origin in origins
    ]
    return np.asarray(np.exp(ahead + np.array(errors)), dtype=float)


class DriverPlanner:
    """Plan the number of servers and the dimmer on paths of the request rate; both bound the load per server.

    Costs are in objectives broken for a period: a server's period costs 1/40, no full content at all 0.45.
    """

    def __init__(self, config: ClusterConfig, season: int) -> None:
        self.config = config
        self.season = season
        boot_periods = math.ceil(config.boot_delay_s / config.period_s)
        self.rules = AmountRules(latency_steps=boot_periods, unit_cost=SERVER_COST, most_up=1)
        self._periods_since_boot = math.inf

    def __call__(self, periods: Sequence[Period], history: FloatArray) -> list[Command]:
        """Choose size and content for the period that begins."""
        now = periods[-1]
        rates = np.concatenate((history, [period.arrival_rate for period in periods]))
        paths = profile_paths(rates, self.season, HORIZON)
        is_new = len(periods) > 1 and now.active_servers > periods[-2].active_servers
        self._periods_since_boot = 1.0 if is_new else self._periods_since_boot + 1.0
        servers = self._size(paths, now)
        return [dim(self._level(paths[:, 0], periods, servers)), *toward(servers, now, self.config)]

    def _size(self, paths: FloatArray, now: Period) -> int:
        if now.servers > now.active_servers:
            return now.servers
        amounts = np.arange(1.0, self.config.max_servers + 1.0)
        losses = stage_losses(paths, amounts, RatioResponse(FULL_SERVICE_S), LOAD_BOUND, "below", LOAD_SD)
        return round(plan_amounts(losses, amounts, float(now.servers), self.rules).best)

    def _level(self, rates: FloatArray, periods: Sequence[Period], servers: int) -> float:
        """Return the dimmer level of least loss in the period ahead, in which a server may come up or still be slow."""
        now = periods[-1]
        booting = [period.servers > period.active_servers for period in periods[-self.rules.latency_steps :]]
        comes_up = len(booting) == self.rules.latency_steps and all(booting)
        active = min(now.active_servers, servers) + comes_up
        age_s = 0.0 if comes_up else self._periods_since_boot * self.config.period_s
        if servers < now.active_servers:
            age_s = math.inf
        slow = 1.0 + SLOW_AT_FIRST * math.exp(-(age_s + self.config.period_s / 2) / SETTLING_S)
        work = FULL_SERVICE_S * slow * (LEVELS + LIGHT_SHARE * (1.0 - LEVELS))
        shares = active / work
        losses = stage_losses(rates[:, None], shares, RatioResponse(1.0), LOAD_BOUND, "below", LOAD_SD)[0]
        losses += DIMMING_COST * (1.0 - LEVELS) + ANY_DIMMING_COST * (LEVELS < 1.0)
        return float(LEVELS[::-1][np.argmin(losses[::-1])])
