"""The error ledger of one metric: how wrong its forecasts were while nothing was done to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from storage.errors import ForeactError
from storage.records import BoolArray, FloatArray, IntArray

SHORTEST_WINDOW_STEPS = 5
WINDOWS_WANTED = 20
FEWEST_SCALE_ERRORS = 8
SAME_HOUR_DAYS = 2 / 24


@dataclass(frozen=True)
class ErrorLedger:
    """Past forecast errors of one metric from windows that no action touched, oldest origin first.

    `errors` is (n_origins, h_steps), observed minus forecast in the metric's unit, NaN where not observed.
    `scale` is (n_origins,): the typical one-step error as it was known at each origin; `current_scale` is
    that figure now. `n_past` counts the action-free steps behind the ledger. `same_trigger` marks origins
    at which the condition that led to the action held as well; `origins` is the step index of each origin,
    `days_before` how many days before now it lies, `observed` what came in place of each error, where these are known.
    `foretold_error` (h_steps,) is how far off the forecast that is judged by took itself to be, as a standard error,
    `unsettled_error` how far off it may be as nobody knows whether a jump just before it stays.
    """

    errors: FloatArray
    scale: FloatArray
    current_scale: float
    n_past: int
    same_trigger: BoolArray | None = None
    origins: IntArray | None = None
    days_before: FloatArray | None = None
    observed: FloatArray | None = None
    foretold_error: FloatArray | None = None
    unsettled_error: float = 0.0

    def __post_init__(self) -> None:
        n_origins = len(self.errors)
        if self.errors.ndim != 2 or self.scale.shape != (n_origins,):
            raise ForeactError(
                "ledger_shape",
                f"The ledger holds errors {self.errors.shape} and scales {self.scale.shape}.",
                "Give errors as (origins, steps) and one scale an origin.",
            )
        for name in ("same_trigger", "origins", "days_before", "observed"):
            column = getattr(self, name)
            if column is not None and column.shape != (self.errors.shape if name == "observed" else (n_origins,)):
                raise ForeactError(
                    "ledger_shape",
                    f"The ledger's {name} has shape {column.shape} for {n_origins} origins.",
                    "Give one entry an origin.",
                )

    def window_steps(self, horizon_steps: int) -> int:
        """Return how many steps are averaged: the horizon, but so few that about 20 past windows exist."""
        return min(window_steps(self.n_past, horizon_steps), int(self.errors.shape[1]))

    @property
    def at_this_hour(self) -> BoolArray:
        """Return which origins (n_origins,) lie at about this time of day; none where that is not known."""
        if self.days_before is None:
            return np.zeros(len(self.errors), dtype=np.bool_)
        return np.asarray(np.abs(self.days_before - np.rint(self.days_before)) <= SAME_HOUR_DAYS)

    @property
    def days_at_this_hour(self) -> int:
        """Return how many earlier days have an origin at about this time of day."""
        if self.days_before is None:
            return 0
        days = np.unique(np.rint(self.days_before[self.at_this_hour]))
        return int((days > 0).sum())

    @staticmethod
    def empty(h_steps: int = 1) -> ErrorLedger:
        """Return the ledger of a metric that has no past: every measurement against it is inconclusive."""
        return ErrorLedger(np.empty((0, h_steps)), np.empty(0), float("nan"), 0)


def window_steps(n_past: int, horizon_steps: int) -> int:
    """Return how many steps are averaged where `n_past` steps of the past are free of actions."""
    return min(max(SHORTEST_WINDOW_STEPS, min(horizon_steps, n_past // WINDOWS_WANTED)), horizon_steps)


def build_ledger(
    history: FloatArray,
    forecasts: FloatArray,
    origins: IntArray,
    *,
    steps_per_day: float,
    now: int | None = None,
    acted: BoolArray | None = None,
    same_trigger: BoolArray | None = None,
) -> ErrorLedger:
    """Build the ledger of a metric from its history and the point forecasts that were issued along the way.

    `history` is (n_steps,), NaN where missing; `forecasts` (n_origins, h_steps), row i issued after step
    `origins[i]` was seen, for the steps that follow it; origins ascend. `now` is the last step known
    (default: the last of the history); what lies after it is not read. `acted` (n_steps,) marks steps
    inside the window of any action: a forecast whose window holds one is left out. `same_trigger`
    (n_origins,) is handed on. Raises ForeactError `ledger_shape` where the shapes disagree or the origins
    do not ascend.
    """
    origins = np.asarray(origins, dtype=np.int64)
    forecasts = np.atleast_2d(np.asarray(forecasts, dtype=np.float64))
    last = len(history) - 1 if now is None else min(now, len(history) - 1)
    if len(forecasts) != len(origins) or np.any(np.diff(origins) <= 0) or np.any(origins < 0):
        raise ForeactError(
            "ledger_shape",
            f"{len(forecasts)} forecasts came with {len(origins)} origins, which must ascend from 0.",
            "Give one origin a forecast, oldest first, each once.",
        )
    is_past = origins < last
    origins, forecasts = origins[is_past], forecasts[is_past]
    trigger = None if same_trigger is None else np.asarray(same_trigger, dtype=np.bool_)[is_past]
    if not len(origins):
        return ErrorLedger.empty(forecasts.shape[1])
    targets = origins[:, None] + 1 + np.arange(forecasts.shape[1])
    seen = np.where(targets <= last, np.asarray(history, np.float64)[np.minimum(targets, last)], np.nan)
    touched = _touched(acted, targets, last)
    errors = np.where(touched, np.nan, np.where(np.isfinite(seen), seen, np.nan) - forecasts)
    scale, current = running_scale(origins, errors[:, 0], steps_per_day, last)
    kept = ~touched.any(axis=1)
    quiet = np.isfinite(history[origins[0] + 1 : last + 1])
    if acted is not None:
        quiet &= ~acted[origins[0] + 1 : last + 1]
    return ErrorLedger(
        errors[kept],
        scale[kept],
        current,
        int(quiet.sum()),
        None if trigger is None else trigger[kept],
        origins[kept],
        (last - origins[kept]) / steps_per_day,
        seen[kept],
    )


def running_scale(
    origins: IntArray, one_step_errors: FloatArray, half_life_steps: float, now: int
) -> tuple[FloatArray, float]:
    """Average |one-step error| exponentially, newest weighing most, as it was known at each origin and now.

    `origins` and `one_step_errors` are (n_origins,), NaN where an error is not known; an error counts from
    the step after its origin on, so nothing from an origin's own future enters its scale. Returns
    (n_origins,) scales, NaN where fewer than eight errors are known, and the scale at step `now`.
    """
    is_known = np.isfinite(one_step_errors)
    times = origins[is_known] + 1
    weights = np.exp2((times - now) / half_life_steps)
    total = np.concatenate([[0.0], np.cumsum(weights * np.abs(one_step_errors[is_known]))])
    weight = np.concatenate([[0.0], np.cumsum(weights)])
    upto = np.searchsorted(times, np.append(origins, now), side="right")
    with np.errstate(invalid="ignore", divide="ignore"):
        enough = (upto >= FEWEST_SCALE_ERRORS) & (weight[upto] > 0)
        scales = np.where(enough, total[upto] / weight[upto], np.nan)
    return scales[:-1], float(scales[-1])


def _touched(acted: BoolArray | None, targets: IntArray, last: int) -> BoolArray:
    if acted is None:
        return np.zeros(targets.shape, dtype=np.bool_)
    inside = np.asarray(acted, dtype=np.bool_)[np.minimum(targets, min(last, len(acted) - 1))]
    return np.asarray(inside & (targets <= last))
