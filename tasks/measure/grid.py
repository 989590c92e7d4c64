"""Metrics with a common step around one act: what was expected, and what came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np

from storage.records import FloatArray, Forecast
from tasks.measure.inference.other_acts import OtherActs
from tasks.measure.inference.placebo_windows import NORMAL_REACH


@dataclass(frozen=True)
class MetricGrid:
    """Metrics with a common step around one act: steps `first_step` to `first_step + steps` of their forecasts.

    `observed` is (n_series, steps), NaN where nothing was recorded; `others` is by series what other acts do in it.
    """

    forecasts: Mapping[str, Forecast]
    first_step: int
    steps: int
    observed: FloatArray
    others: Mapping[str, OtherActs] = field(default_factory=dict)

    @property
    def series(self) -> tuple[str, ...]:
        """Return the metrics, in the order of `observed`."""
        return tuple(self.forecasts)

    @property
    def any_forecast(self) -> Forecast:
        """Return one of the forecasts: all were issued at one moment, at one step."""
        return next(iter(self.forecasts.values()))

    @property
    def ends_at(self) -> datetime:
        """Return when the last step of the window ends."""
        return self.any_forecast.at_step(self.first_step + self.steps - 1)

    def up_to(self, moment: datetime) -> MetricGrid | None:
        """Return the part of the window that ends by a moment; None where there is none."""
        step_s, first = self.any_forecast.step_s, self.any_forecast.at_step(self.first_step)
        steps = min(self.steps, int((moment - first).total_seconds() // step_s) + 1)
        if steps <= 0:
            return None
        others = {name: each.up_to(steps) for name, each in self.others.items()}
        return replace(self, steps=steps, observed=self.observed[:, :steps], others=others)

    def foretold(self, series: str) -> FloatArray:
        """Return what the forecast says of the window, (steps,), as it was issued."""
        return self.forecasts[series].point[self.first_step : self.first_step + self.steps]

    def point(self, series: str) -> FloatArray:
        """Return what was expected over the window without the act that is judged, (steps,)."""
        return self.foretold(series) + self._change(series)

    def mean(self, series: str) -> FloatArray:
        """Return the same as a mean over all that may come, (steps,): where it is one of two levels, in between."""
        levels, quantiles = np.asarray(self.forecasts[series].levels), self.quantiles(series)
        weights = np.diff((levels[1:] + levels[:-1]) / 2, prepend=0.0, append=1.0)
        return np.asarray(quantiles @ weights)

    def band(self, series: str) -> tuple[FloatArray, FloatArray]:
        """Return the lowest and highest quantile over the window, both (steps,)."""
        window = self.quantiles(series)
        return window[:, 0], window[:, -1]

    def foretold_error(self, series: str) -> FloatArray:
        """Return how far off the forecast took itself to be over the window, (steps,), as a standard error."""
        low, high = self.band(series)
        return np.asarray((high - low) / (2 * NORMAL_REACH))

    def quantiles(self, series: str) -> FloatArray:
        """Return the quantiles over the window without the act that is judged, (steps, n_levels)."""
        window = np.asarray(self.forecasts[series].quantiles, dtype=np.float64)
        change = np.broadcast_to(self._change(series), (self.steps,))
        return np.asarray(window[self.first_step : self.first_step + self.steps] + change[:, None])

    def _change(self, series: str) -> FloatArray | float:
        return self.others[series].change if series in self.others else 0.0

    def seen(self, series: str) -> FloatArray:
        """Return what was observed over the window, (steps,)."""
        row: FloatArray = self.observed[self.series.index(series)]
        return row
