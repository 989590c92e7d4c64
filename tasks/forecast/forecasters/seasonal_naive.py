"""The bar every other forecaster has to clear: tomorrow is like today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from storage.errors import ForeactError
from tasks.forecast.batch import Floats, ForecastBatch
from tasks.forecast.fleet.prepare import MIN_USABLE_POINTS, NO_WINSORISING, prepare
from tasks.forecast.forecasters.protocol import Forecaster

NAMES = ("seasonal_naive",)
PATHS = 36


def build(detail: str, options: Mapping[str, Any]) -> Forecaster:
    """The seasonal naive forecaster; it takes no options. Raises ForeactError if given one."""
    if options:
        raise ForeactError(
            code="unknown_forecaster_option",
            message=f"The seasonal naive forecaster takes no options, got {', '.join(sorted(options))}.",
            remedy="Remove them.",
        )
    return forecast


def forecast(
    values: Floats, *, season_lengths: tuple[int, ...], horizon: int, levels: tuple[float, ...], seed: int
) -> ForecastBatch:
    """The last cycle repeated, with the errors the same rule made at past origins as paths.

    Without a whole cycle and a step, the last value. Arguments as for `forecast_batch`; nothing is random.
    """
    t = values.shape[1]
    day = min((m for m in season_lengths if m > 1), default=1)
    season = day if t > day else 1
    history = prepare(np.asarray(values, dtype=float), season, NO_WINSORISING)
    raw = history.trending
    paths = _repeat(raw, t, season, horizon)[:, None] + _past_errors(raw, season, horizon)
    paths[history.usable < MIN_USABLE_POINTS] = np.nan
    return ForecastBatch.from_paths(paths, levels=levels, method="seasonal_naive", refusals=history.refusals)


def _repeat(raw: Floats, end: int, season: int, horizon: int) -> Floats:
    """Steps end … end + horizon − 1 as the cycle before `end` foretells them, (n, h)."""
    return raw[:, end - season + np.arange(horizon) % season]


def _past_errors(raw: Floats, season: int, horizon: int) -> Floats:
    """Errors (n, s, h) at up to 36 past origins; where the history ends first, the last error stays."""
    t = raw.shape[1]
    ends = np.unique(np.linspace(season, max(season, t - horizon), PATHS).astype(int))
    errors = np.zeros((len(raw), len(ends), horizon))
    for i, end in enumerate(ends.tolist()):
        steps_known = min(horizon, t - end)
        errors[:, i, :steps_known] = (
            raw[:, end : end + steps_known] - _repeat(raw, end, season, horizon)[:, :steps_known]
        )
        if 0 < steps_known < horizon:
            errors[:, i, steps_known:] = errors[:, i, steps_known - 1 : steps_known]
    return errors
