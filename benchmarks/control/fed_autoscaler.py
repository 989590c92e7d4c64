"""A plain horizontal autoscaler that is fed our p90 through KEDA, and knows nothing else of what is foretold.

Every minute the rate of requests is forecast as the product does; KEDA's metrics-api scaler gets what
`GET /predictions/value` gives for it, and hands it on as an average per server.
https://keda.sh/docs/latest/scalers/metrics-api/
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from benchmarks.cluster.simulator import ClusterConfig, Period
from benchmarks.control.baselines import Autoscaler
from storage.records import FloatArray
from tasks.forecast.forecasters import get

QUANTILE = 0.9
WITHIN_S = 600.0
"""Both are what the endpoint takes where nothing is said."""
LEVELS = (0.5, QUANTILE)
STEPS = 24


class FedAutoscaler(Autoscaler):
    """The same rule on the highest p90 of the rate within ten minutes."""

    def __init__(self, config: ClusterConfig, season: int) -> None:
        super().__init__(config)
        self.season = season
        self.reach = math.ceil(WITHIN_S / config.period_s)
        self._forecast = get("ensemble")

    def wanted(self, periods: Sequence[Period], history: FloatArray) -> int:
        """Return the size for the rate that will most likely not be exceeded."""
        rates = np.concatenate((history, [period.arrival_rate for period in periods]))
        rate = self.fed(self.foretold(rates, len(periods)))
        return self.sized(rate * self.config.nominal_service_s / periods[-1].servers, periods[-1])

    def foretold(self, rates: FloatArray, seed: int) -> FloatArray:
        """Return the quantiles (STEPS, len(LEVELS)) of the rates to come."""
        batch = self._forecast(rates[None, :], season_lengths=(self.season,), horizon=STEPS, levels=LEVELS, seed=seed)
        return np.asarray(batch.quantiles[0], dtype=float)

    def fed(self, quantiles: FloatArray) -> float:
        """Return the number that KEDA reads: what the endpoint gives for this forecast when it is new."""
        return float(np.max(quantiles[: self.reach, LEVELS.index(QUANTILE)]))
