"""Any darts model by class name, `darts:ExponentialSmoothing`: it gives the course, the fleet gives the errors.

The model's forecast replaces the fleet's median; the joint error paths around it are the fleet's, widened
or narrowed by how the two did on the last horizon held back. So every model gets calibrated quantiles and
paths that break together, also one that forecasts a single number. darts is imported only when a model is
built.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from storage.errors import ForeactError
from tasks.forecast.batch import Floats, ForecastBatch, Ints, median_of, path_quantiles
from tasks.forecast.fleet.forecast import forecast_batch
from tasks.forecast.fleet.prepare import MIN_USABLE_POINTS, NO_WINSORISING, prepare
from tasks.forecast.forecasters.protocol import Forecaster
from tasks.forecast.time_budget import TimeBudget

NAMES = ("darts:",)
BACKTEST_SERIES = 8
OUT_OF_TIME = "had no time left in this cycle (`model_budget_seconds`) and comes first in the next"
RETURNED_NAN = "failed (it returned NaN)"
Factory = Callable[[int, int], Any]  # season and horizon in steps → an unfitted darts model


def build(detail: str, options: Mapping[str, Any]) -> Forecaster:
    """The forecaster of a darts class with `options` as its arguments; enumerations are given by their value.

    Raises ForeactError `unknown_darts_model`, or `bad_darts_options` if the class does not take the options.
    """
    model_class = _model_class(detail)
    try:
        arguments = _arguments(detail, options)
        model_class(**arguments)
    except Exception as error:
        raise ForeactError(
            code="bad_darts_options",
            message=f"darts {detail} does not take {dict(options)}: {error}",
            remedy="See the class in the darts documentation for its arguments.",
        ) from error
    return DartsForecaster(f"darts:{detail}", lambda season, horizon: model_class(**arguments))


@dataclass(frozen=True)
class DartsForecaster:
    """A forecaster around a darts model; a global one is fitted on all series at once."""

    name: str
    factory: Factory

    def __call__(
        self,
        values: Floats,
        *,
        season_lengths: tuple[int, ...],
        horizon: int,
        levels: tuple[float, ...],
        seed: int,
        fleet: ForecastBatch | None = None,
        pace: TimeBudget | None = None,
        key: str = "",
    ) -> ForecastBatch:
        """Arguments as for `forecast_batch`; a series the model fails on keeps the fleet's forecast and says so.

        `fleet` is the fleet's forecast of these series where it was made already, `pace` how long all models may
        take, where under `key` this one goes on; without it, as long as it takes.
        """
        values = np.asarray(values, dtype=float)
        if fleet is None:
            fleet = forecast_batch(values, season_lengths=season_lengths, horizon=horizon, levels=levels, seed=seed)
        pace = TimeBudget() if pace is None else pace
        rows = np.array([i for i, reason in enumerate(fleet.refusals) if reason is None], dtype=np.intp)
        season = min((m for m in season_lengths if m > 1), default=1)
        dense = _dense(values, season)
        with pace.running():
            spread = pace.spread(key)
            if spread is None:
                spread = self._spread(values, rows, season_lengths, season, horizon, pace)
                pace.found_spread(key, spread)
            order = pace.order(key, len(rows))
            points, trouble, count = self._points(dense[rows], season, horizon, order, pace.is_over)
        pace.served(key, order, count)
        return _around(fleet, rows, points, trouble, spread, self.name)

    def _points(
        self, dense: Floats, season: int, horizon: int, order: Sequence[int], is_over: Callable[[], bool]
    ) -> tuple[Floats, list[str], int]:
        """The model's forecast (n, h), NaN where there is none, why ("" where there is), and how many it tried.

        A series each in `order`, until time is over.
        """
        from darts.models.forecasting.forecasting_model import GlobalForecastingModel

        model = self.factory(season, horizon)
        points = np.full((len(dense), horizon), np.nan)
        if isinstance(model, GlobalForecastingModel):
            return *_fit_all(model, dense, horizon), len(dense)
        trouble, count = [OUT_OF_TIME] * len(dense), 0
        for i in order:
            if count and is_over():
                break
            points[i], trouble[i] = _fit_one(self.factory(season, horizon), dense[i], horizon)
            count += 1
        return points, trouble, count

    def _spread(
        self,
        values: Floats,
        rows: Ints,
        season_lengths: tuple[int, ...],
        season: int,
        horizon: int,
        pace: TimeBudget,
    ) -> float:
        """Mean error of the model over that of the fleet on the last horizon of a few series, between ½ and 4."""
        few, t = rows[:BACKTEST_SERIES], values.shape[1]
        if not len(few) or t - horizon < max(2 * season, MIN_USABLE_POINTS):
            return 1.0
        history, truth = values[few, : t - horizon], values[few, t - horizon :]
        fleet = forecast_batch(history, season_lengths=season_lengths, horizon=horizon)
        # Half of the time at most: the rest is for the forecast itself.
        points, *_ = self._points(_dense(history, season), season, horizon, range(len(few)), lambda: pace.is_over(0.5))
        ours = np.abs(truth - points) / fleet.scale[:, None]
        theirs = np.abs(truth - fleet.point) / fleet.scale[:, None]
        both = np.isfinite(ours) & np.isfinite(theirs)
        if not both.any() or not theirs[both].any():
            return 1.0
        return float(np.clip(ours[both].mean() / theirs[both].mean(), 0.5, 4.0))


def _around(
    fleet: ForecastBatch, rows: Ints, points: Floats, trouble: list[str], spread: float, name: str
) -> ForecastBatch:
    """The fleet's batch with its paths moved to the model's points and stretched around them."""
    good = np.asarray(np.isfinite(points).all(axis=1))
    paths = fleet.scaled_paths.copy()
    chosen = rows[good]
    middle = (fleet.point[chosen] - fleet.centre[chosen, None]) / fleet.scale[chosen, None]
    course = (points[good] - fleet.centre[chosen, None]) / fleet.scale[chosen, None]
    paths[chosen] = course[:, None] + spread * (paths[chosen] - middle[:, None])
    quantiles = fleet.quantiles.copy()
    around = path_quantiles(paths[chosen], fleet.levels)
    quantiles[chosen] = fleet.centre[chosen, None, None] + fleet.scale[chosen, None, None] * around
    method, notes = list(fleet.method), list(fleet.warnings)
    for row, is_good, reason in zip(rows.tolist(), good.tolist(), trouble, strict=True):
        if is_good:
            method[row] = name
        else:
            notes[row] = (*notes[row], f"{name} {reason}; the fleet forecast is used instead")
    return replace(
        fleet,
        point=median_of(quantiles, fleet.levels),
        quantiles=quantiles,
        scaled_paths=paths,
        method=tuple(method),
        warnings=tuple(notes),
    )


def _fit_one(model: Any, row: Floats, horizon: int) -> tuple[Floats, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(_series(row))
            point = np.asarray(model.predict(horizon).values()[:, 0], dtype=float)
    except Exception as error:  # whatever a model raises, the other series must go on
        return np.full(horizon, np.nan), f"failed ({type(error).__name__}: {error})"
    return point, "" if np.isfinite(point).all() else RETURNED_NAN


def _fit_all(model: Any, dense: Floats, horizon: int) -> tuple[Floats, list[str]]:
    """One model over all series, each scaled to its own mean and standard deviation."""
    centre = dense.mean(axis=1, keepdims=True)
    scale = dense.std(axis=1, keepdims=True)
    scale[scale == 0] = 1
    series = [_series(row) for row in (dense - centre) / scale]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(series)
            ahead = model.predict(horizon, series=series)
    except Exception as error:
        return np.full((len(dense), horizon), np.nan), [f"failed ({type(error).__name__}: {error})"] * len(dense)
    points = np.stack([one.values()[:, 0] for one in ahead]) * scale + centre
    return points, ["" if np.isfinite(point).all() else RETURNED_NAN for point in points]


def _series(row: Floats) -> Any:
    import pandas as pd
    from darts import TimeSeries

    return TimeSeries.from_times_and_values(pd.RangeIndex(len(row)), row[:, None])


def _dense(values: Floats, season: int) -> Floats:
    return prepare(values, season, NO_WINSORISING).trending


def _model_class(name: str) -> Any:
    import darts.models

    model_class = getattr(darts.models, name, None)
    if name and isinstance(model_class, type) and hasattr(model_class, "predict"):
        return model_class
    raise ForeactError(
        code="unknown_darts_model",
        message=f"darts has no forecasting model {name!r}, or its library is not installed.",
        remedy="Use a class of darts.models, such as darts:ExponentialSmoothing.",
    )


def _arguments(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with enumerations by value; Theta is additive unless asked otherwise, for metrics touch 0."""
    from darts.utils.utils import ModelMode, SeasonalityMode, TrendMode

    kinds = {
        "season_mode": SeasonalityMode,
        "seasonal": SeasonalityMode,
        "trend": ModelMode,
        "model_mode": ModelMode,
        "trend_mode": TrendMode,
    }
    arguments = dict(options)
    if name in ("Theta", "FourTheta"):
        arguments.setdefault("season_mode", SeasonalityMode.ADDITIVE.value)
    for key, kind in kinds.items():
        if isinstance(arguments.get(key), str):
            arguments[key] = kind(arguments[key])
    return arguments
