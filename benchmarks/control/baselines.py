"""Policies that know only the past: nothing, reactive, and three autoscalers.

The autoscalers set the number of servers and leave the dimmer as it is, as a horizontal autoscaler would.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from benchmarks.cluster.simulator import ClusterConfig, Period
from benchmarks.control.run import ADD, REMOVE, Command, dim, toward
from storage.records import FloatArray

TARGET_LOAD = 0.70
TOLERANCE = 0.10
HOLD_PERIODS = 5
TREND_PERIODS = 10
STEPS_AHEAD = 4
DIMMER_STEP = 1.0 / 9.0
SMOOTHING = 0.9


def nothing(periods: Sequence[Period], history: FloatArray) -> list[Command]:
    """Leave everything as it was at the start."""
    return []


class Reactive:
    """React to the response time as SWIM's own manager does: grow or dim when late, brighten or shrink if idle."""

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config

    def __call__(self, periods: Sequence[Period], history: FloatArray) -> list[Command]:
        """Take one step on what the last period showed."""
        now = periods[-1]
        is_booting = now.servers > now.active_servers
        if now.response_time_s > self.config.late_after_s:
            if not is_booting and now.servers < self.config.max_servers:
                return [ADD]
            return [dim(max(0.0, now.dimmer - DIMMER_STEP))]
        if now.active_servers - now.utilisation <= 1.0:
            return []
        if now.dimmer < 1.0:
            return [dim(min(1.0, now.dimmer + DIMMER_STEP))]
        return [REMOVE] if not is_booting and now.servers > 1 else []


class Autoscaler:
    """The Kubernetes rule at 70 % of the load just seen: 10 % tolerance, five periods' hold before shrinking.

    Source: https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/
    """

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self._wanted: deque[int] = deque(maxlen=HOLD_PERIODS)

    def __call__(self, periods: Sequence[Period], history: FloatArray) -> list[Command]:
        """Go toward the largest size wanted lately."""
        self._wanted.append(self.wanted(periods, history))
        return toward(max(self._wanted), periods[-1], self.config)

    def wanted(self, periods: Sequence[Period], history: FloatArray) -> int:
        """Return the size that this period asks for."""
        now = periods[-1]
        return self.sized(now.utilisation / now.active_servers, now)

    def sized(self, load_per_server: float, now: Period) -> int:
        """Return the size at which a load per present server would be on target."""
        ratio = load_per_server / TARGET_LOAD
        if abs(ratio - 1.0) <= TOLERANCE:
            return now.servers
        return min(max(math.ceil(now.servers * ratio - 1e-9), 1), self.config.max_servers)


class PredictLinear(Autoscaler):
    """The same rule on a straight line through ten periods' rates, four ahead, as Prometheus' predict_linear."""

    def wanted(self, periods: Sequence[Period], history: FloatArray) -> int:
        """Return the size for the rate that the line reaches, at the nominal speed of a server."""
        rates = np.array([period.arrival_rate for period in periods[-TREND_PERIODS:]])
        slope, level = np.polyfit(np.arange(len(rates)) - (len(rates) - 1.0), rates, 1)
        rate = max(0.0, float(level + STEPS_AHEAD * slope))
        return self.sized(rate * self.config.nominal_service_s / periods[-1].servers, periods[-1])


class HoltWinters(Autoscaler):
    """The autoscaler's own sizes, forecast one step ahead by additive Holt-Winters with a season of a day.

    As the predictive horizontal pod autoscaler does: https://predictive-horizontal-pod-autoscaler.readthedocs.io
    """

    def __init__(self, config: ClusterConfig, season: int) -> None:
        super().__init__(config)
        self.season = season
        self._level = self._trend = 0.0
        self._seasonal: deque[float] = deque()

    def wanted(self, periods: Sequence[Period], history: FloatArray) -> int:
        """Return the larger of the size for now and the size forecast for the next period."""
        if not self._seasonal:
            self._learn_past(periods[:-1], history)
        now = super().wanted(periods, history)
        self._update(float(now))
        forecast = self._level + self._trend + self._seasonal[0]
        return max(now, min(math.ceil(forecast - 1e-9), self.config.max_servers))

    def _learn_past(self, periods: Sequence[Period], history: FloatArray) -> None:
        rates = np.concatenate((history, [period.arrival_rate for period in periods]))
        sizes = np.ceil(rates * self.config.nominal_service_s / TARGET_LOAD).clip(1, self.config.max_servers)
        first = sizes[: self.season]
        self._level = float(first.mean())
        self._seasonal = deque((first - first.mean()).tolist())
        for size in sizes[self.season :].tolist():
            self._update(size)

    def _update(self, size: float) -> None:
        season = self._seasonal.popleft()
        before = self._level
        self._level = SMOOTHING * (size - season) + (1 - SMOOTHING) * (self._level + self._trend)
        self._trend = SMOOTHING * (self._level - before) + (1 - SMOOTHING) * self._trend
        self._seasonal.append(SMOOTHING * (size - self._level) + (1 - SMOOTHING) * season)
