"""Placebos: acts that never were, measured like real ones, to see how often the measurement is wrong here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf, nan
from typing import Literal

import numpy as np

from storage.actions import ActionView
from storage.records import (
    NOTHING,
    Action,
    Autonomy,
    BoolArray,
    Forecast,
    Frame,
    GoalType,
    Outcome,
    Receipt,
    ReceiptStatus,
    Verdict,
    stable_id,
)
from tasks.context import Context
from tasks.interventions.act_window import window_of
from tasks.interventions.matured import MaturedAct
from tasks.measure.data_around_act import HISTORY_STEPS, DataAroundAct
from tasks.measure.inference.estimand import FEWEST_BEFORE, WEEK_S
from tasks.measure.inference.many_metrics import MetricWindow
from tasks.measure.judge import judge, target_windows
from tasks.measure.preregister import derive

Placed = Literal["random", "high"]
HIGH_QUANTILE = 0.9
FIRST_RATIO = 0.5
"""Placebos lie in the newer half of the forecasts that were issued: before them lies a past to hold them against."""


@dataclass(frozen=True)
class PlaceboAct:
    """A moment at which nothing was done to a metric, and which will be measured as if."""

    series: str
    moment: datetime
    placed: Placed


@dataclass(frozen=True)
class PlaceboTrial:
    """A placebo, and what the measurement makes of it."""

    act: PlaceboAct
    outcome: Outcome

    @property
    def is_false_alarm(self) -> bool:
        """Tell whether nothing was taken for an effect."""
        return self.outcome.verdict in {Verdict.IMPROVED, Verdict.WORSE}

    @property
    def reach(self) -> float:
        """Return |estimate| over half the width of its interval, which holds zero up to 1; 0 of 0 is 0."""
        half = ((self.outcome.high or 0.0) - (self.outcome.low or 0.0)) / 2
        estimate = abs(self.outcome.estimate or 0.0)
        return estimate / half if half else 0.0 if not estimate else inf

    @property
    def in_errors(self) -> float:
        """Return the estimate over its standard error, NaN where it has none; 0 of 0 is 0."""
        estimate, error = self.outcome.estimate, self.outcome.standard_error
        if estimate is None or error is None:
            return nan
        if not estimate:
            return 0.0
        return estimate / error if error else nan


def placebo_trials(
    context: Context,
    names: Sequence[str],
    per_series: int,
    seed: int,
    advance: Callable[[int, int], None] | None = None,
) -> list[PlaceboTrial]:
    """Measure placebos on each metric as the loop measures acts: up to `per_series` of each kind.

    They lie at random moments and right after the metric went high, where a forecast was issued and nothing was done;
    no two of a kind overlap. High is above the 90 % quantile of the week before, and was not at the forecast before.
    `advance` is told how many are done, of how many. None for a metric whose forecasts were not issued for long enough.
    """
    around = DataAroundAct(context)
    acts = [act for name in names for act in _chosen(around, name, per_series, seed)]
    trials = []
    for done, act in enumerate(acts, start=1):
        trials.append(_measured(around, act))
        if advance is not None:
            advance(done, len(acts))
    return [trial for trial in trials if trial is not None]


def _chosen(around: DataAroundAct, series: str, count: int, seed: int) -> list[PlaceboAct]:
    context = around.context
    horizon_s = context.settings.executor.measure_horizon_seconds
    newest = context.store.forecasts.before(series, context.tick)
    if newest is None:
        return []
    frame = around.history([series], newest[1])
    moments = _issued(context, newest[1], context.tick - timedelta(seconds=horizon_s + newest[1].step_s))
    places = np.array([_place(frame, each) for each in moments], dtype=np.int64)
    is_high = _is_high(frame, places)
    is_free = np.array([_is_free(around, each, horizon_s) for each in moments], dtype=np.bool_)
    is_free[: int(FIRST_RATIO * len(moments))] = False
    is_onset = is_high & ~np.concatenate([[False], is_high[:-1]]) if len(is_high) else is_high
    rng = np.random.default_rng([seed, *series.encode()])
    kinds: tuple[tuple[Placed, BoolArray], ...] = (("random", is_free), ("high", is_free & is_onset))
    return [
        PlaceboAct(series, moment, placed)
        for placed, chosen in kinds
        for moment in _apart([moments[place] for place in rng.permutation(np.flatnonzero(chosen))], horizon_s, count)
    ]


def _measured(around: DataAroundAct, act: PlaceboAct) -> PlaceboTrial | None:
    """Measure a placebo by what was known at its moment; None where the loop could not have measured an act."""
    matured = _as_matured(around, act)
    if matured is None:
        return None
    target, *_ = judge(around, matured)
    return PlaceboTrial(act, target)


def placebo_windows(
    context: Context, names: Sequence[str], per_series: int, seed: int
) -> Iterator[tuple[PlaceboAct, MetricWindow]]:
    """Yield the placebos of `placebo_trials`, each with what its target is judged by."""
    around = DataAroundAct(context)
    for act in (each for name in names for each in _chosen(around, name, per_series, seed)):
        matured = _as_matured(around, act)
        windows = target_windows(around, matured) if matured is not None else []
        yield from ((act, window) for window in windows)


def _as_matured(around: DataAroundAct, act: PlaceboAct) -> MaturedAct | None:
    """Return a placebo as an act whose window is over; None where the loop could not have measured one."""
    action = Action(
        action_id=stable_id("placebo", act.series, act.placed, act.moment.isoformat()),
        name=NOTHING,
        goal_id="",
        goal_type=GoalType.BOTTLENECK_PREVENTION,
        plan_id="",
        decision_id="",
        level=Autonomy.OBSERVE,
        created_at=act.moment,
        due_at=act.moment,
        expires_at=act.moment,
        series=act.series,
        horizon_s=around.context.settings.executor.measure_horizon_seconds,
    )
    receipt = Receipt(
        action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, started_at=act.moment, finished_at=act.moment
    )
    estimand = derive(around, action, act.moment)
    window = window_of(ActionView(action, None, None, receipt), estimand, None)
    if estimand is None or window is None:
        return None
    return MaturedAct(action, receipt, estimand, True, window)


def _issued(context: Context, newest: Forecast, until: datetime) -> list[datetime]:
    since = newest.issued_at - timedelta(seconds=newest.step_s * HISTORY_STEPS)
    return context.store.outcomes.issued.origins(newest.series, newest.step_s, since, until)


def _place(frame: Frame, moment: datetime) -> int:
    return int(frame.values.shape[1]) - 1 - round((frame.end - moment).total_seconds() / frame.step_s)


def _is_high(frame: Frame, places: np.ndarray[tuple[int], np.dtype[np.int64]]) -> BoolArray:
    values, weekly = frame.values[0], max(1, round(WEEK_S / frame.step_s))
    is_high = np.zeros(len(places), dtype=np.bool_)
    for row, place in enumerate(places):
        before = values[max(0, place - weekly) : max(0, place)]
        before = before[np.isfinite(before)]
        if len(before) >= FEWEST_BEFORE:
            is_high[row] = values[place] > np.quantile(before, HIGH_QUANTILE)
    return is_high


def _is_free(around: DataAroundAct, moment: datetime, horizon_s: float) -> bool:
    """Tell whether no act reached anything from a horizon before a moment to a horizon after it."""
    reach = timedelta(seconds=horizon_s)
    return not any(act.start < moment + reach and moment - reach < act.end for act in around.acts)


def _apart(moments: Sequence[datetime], horizon_s: float, count: int) -> Iterator[datetime]:
    taken: list[datetime] = []
    for moment in moments:
        if len(taken) < count and all(abs((moment - other).total_seconds()) >= horizon_s for other in taken):
            taken.append(moment)
            yield moment
