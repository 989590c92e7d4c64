"""History and forecasts as darts TimeSeries, for plots, metrics and models of that library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tasks.forecast.batch import Floats

if TYPE_CHECKING:
    import pandas as pd
    from darts import TimeSeries


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
