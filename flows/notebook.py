"""What a store holds of a series as darts TimeSeries: its history, its forecasts, and how they turned out.

from flows.notebook import darts_forecast, darts_history, darts_scores

history = darts_history(agent.store, "cpu_used_ratio", until=now)
forecast = darts_forecast(agent.store, "cpu_used_ratio", issued_before=now - timedelta(hours=2))
history[-288:].plot(); forecast.plot()
darts_scores(agent.store, "cpu_used_ratio", issued_before=now - timedelta(hours=2))
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from storage import Store
from storage.errors import ForeactError
from storage.records import Forecast
from tasks.forecast.batch import Floats
from tasks.forecast.verification.scores import seasonal_scale
from tasks.monitor import plan_windows

if TYPE_CHECKING:
    import pandas as pd
    from darts import TimeSeries

HISTORY_STEPS = 2_016
LONGEST_REACH = timedelta(days=62)
DAY_S = 86_400


def darts_history(
    store: Store, series: str, *, until: datetime, step_s: float | None = None, steps: int | None = None
) -> TimeSeries:
    """Return what was recorded of a series as means of steps that end at `until`, NaN where a step has none.

    Without `step_s` the step is the one that the loop would choose, without `steps` the history as far as it goes, up
    to 2,016 steps. Times are naive UTC. Raises `series_unknown` where nothing was recorded.
    """
    if step_s is None or steps is None:
        spans = [info for info in store.samples.spans(until - LONGEST_REACH, until) if info.series == series]
        if not spans:
            raise _unknown(series, until)
        (window,) = plan_windows(spans, until, HISTORY_STEPS, step_s or 0)
        step_s = window.step_s
        steps = steps or window.steps
    frame = store.samples.frame([series], until, step_s, steps)
    return history_series(frame.values, end_s=until.timestamp(), step_s=step_s, names=[series])[0]


def darts_forecast(store: Store, series: str, *, issued_before: datetime) -> TimeSeries:
    """Return the newest forecast of a series that was issued at or before a moment.

    Its components are the stored quantiles as darts names them, `<series>_q0.050` and so on, so that darts plots the
    band and `darts.metrics` takes it. Raises `series_unknown` where there is none.
    """
    return _as_darts(_forecast(store, series, issued_before))


def darts_scores(store: Store, series: str, *, issued_before: datetime) -> dict[str, float]:
    """Return how a stored forecast turned out, by `darts.metrics`: mase, scaled quantile loss, 90 % coverage.

    The scale is that of the week before it was issued: the mean change from one day to the next, or from step to step
    where there are no two days. Judged are the steps that are over and were observed; raises `forecast_not_resolved`
    where there are none.
    """
    from darts import metrics

    forecast = _forecast(store, series, issued_before)
    horizon, step_s = len(forecast.point), forecast.step_s
    end = forecast.issued_at + timedelta(seconds=step_s * horizon)
    truth = store.samples.frame([series], end, step_s, horizon).values[0]
    seen = np.flatnonzero(np.isfinite(truth))
    if not len(seen):
        raise ForeactError(
            "forecast_not_resolved",
            f"Nothing is recorded for {series} after {forecast.issued_at:%Y-%m-%d %H:%M} UTC.",
            "Ask for an earlier forecast.",
            status=404,
        )
    past = store.samples.frame([series], forecast.issued_at, step_s, HISTORY_STEPS).values
    day = max(1, round(DAY_S / step_s))
    recorded_steps = int(np.isfinite(past).sum())
    scale = float(seasonal_scale(past, day if recorded_steps > 2 * day else 1)[0]) or math.nan
    # darts takes no gaps: the steps that were observed stand side by side.
    judged = np.column_stack([forecast.quantiles[seen], forecast.point[seen]])
    point = history_series(judged[:, -1][None], end_s=0, step_s=1)[0]
    actual = history_series(truth[seen][None], end_s=0, step_s=1)[0]
    band = quantile_series(judged[:, :-1], levels=forecast.levels, end_s=-len(seen), step_s=1, name="series_0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # darts under pandas 3 warns of its own slicing
        return {
            "mase": float(metrics.mae(actual, point)) / scale,
            "scaled_quantile_loss": float(np.mean(metrics.mql(actual, band, q=list(forecast.levels)))) / scale,
            "coverage_90": float(np.mean(metrics.mic(actual, band, q_interval=(0.05, 0.95)))),
            "steps": float(len(seen)),
        }


def _forecast(store: Store, series: str, issued_before: datetime) -> Forecast:
    issued = store.forecasts.before(series, issued_before)
    if issued is None:
        raise _unknown(series, issued_before)
    return issued[1]


def _as_darts(forecast: Forecast) -> TimeSeries:
    return quantile_series(
        forecast.quantiles,
        levels=forecast.levels,
        end_s=forecast.issued_at.timestamp(),
        step_s=forecast.step_s,
        name=forecast.series,
    )


def _unknown(series: str, moment: datetime) -> ForeactError:
    return ForeactError(
        "series_unknown",
        f"Nothing is recorded for {series} up to {moment:%Y-%m-%d %H:%M} UTC.",
        "`store.samples.known()` lists the series.",
        status=404,
    )


def history_series(
    values: Floats, *, end_s: float, step_s: float, names: Sequence[str] | None = None
) -> list[TimeSeries]:
    """One TimeSeries a row of `values` (n, t), whose last step ends at `end_s` (epoch seconds, shown in naive UTC)."""
    from darts import TimeSeries

    times = _times(end_s, step_s, np.arange(1 - values.shape[1], 1))
    return [
        TimeSeries.from_times_and_values(times, row[:, None], columns=[name])
        for row, name in zip(values, _names(names, len(values)), strict=True)
    ]


def quantile_series(
    quantiles: Floats, *, levels: Sequence[float], end_s: float, step_s: float, name: str
) -> TimeSeries:
    """One TimeSeries of quantiles (h, q), a component a level as darts names them, from one step after `end_s` on."""
    from darts import TimeSeries

    times = _times(end_s, step_s, np.arange(1, len(quantiles) + 1))
    return TimeSeries.from_times_and_values(times, quantiles, columns=[f"{name}_q{level:.3f}" for level in levels])


def _times(end_s: float, step_s: float, steps: np.ndarray[tuple[int], np.dtype[np.intp]]) -> pd.DatetimeIndex:
    """Naive UTC times: darts drops a time zone, and says so only in a warning."""
    import pandas as pd

    step_ns = round(step_s * 1e9)
    stamps = round(end_s * 1e9) + steps.astype(np.int64) * step_ns
    return pd.DatetimeIndex(stamps.astype("datetime64[ns]"), freq=pd.Timedelta(step_ns, unit="ns"))


def _names(names: Sequence[str] | None, count: int) -> Sequence[str]:
    return names if names is not None else [f"series_{i}" for i in range(count)]
