"""What will be measured, written down before the action, so that nobody can choose it afterwards."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import numpy as np

from storage.records import BoolArray, Estimand, FloatArray
from tasks.measure.inference.effect import Better
from tasks.measure.inference.past_errors import window_steps
from tasks.text import chance, number, span, unit_of, value

Trigger = Literal["", "high", "low"]

EXTREME_RATIO = 0.2
FEWEST_BEFORE = 20
WEEK_S = 604_800.0


def fix_estimand(
    action_id: str,
    series: str,
    *,
    better: Better,
    fixed_at: datetime,
    forecast_cycle_id: str,
    issued_at: datetime,
    step_s: float,
    horizon_s: float,
    n_past: int,
    **more: Any,
) -> Estimand:
    """Fix, before acting, what the act will be judged by; the window is what the past can support.

    `n_past` counts the steps of the past that no act touched; `more` are further fields of the record. Raises
    pydantic's ValidationError where they contradict each other.
    """
    horizon_steps = max(1, round(horizon_s / step_s))
    return Estimand(
        action_id=action_id,
        series=series,
        better=better,
        fixed_at=fixed_at,
        forecast_cycle_id=forecast_cycle_id,
        issued_at=issued_at,
        step_s=step_s,
        horizon_steps=horizon_steps,
        window_steps=window_steps(n_past, horizon_steps),
        **more,
    )


def trigger_of(history: FloatArray, steps_per_week: int) -> Trigger:
    """Say whether the newest value of a metric (n,) lies in the highest or lowest fifth of its last week."""
    places = np.flatnonzero(np.isfinite(history))
    if not len(places):
        return ""
    for trigger in ("high", "low"):
        if triggered(history, places[-1:], trigger, steps_per_week)[0]:
            return trigger
    return ""


def triggered(history: FloatArray, origins: np.ndarray[Any, Any], trigger: Trigger, steps_per_week: int) -> BoolArray:
    """Tell for each origin (n,) whether the metric stood as `trigger` says, by what lay before it alone."""
    is_triggered = np.zeros(len(origins), dtype=np.bool_)
    if not trigger:
        return is_triggered
    for place, origin in enumerate(origins):
        before = history[max(0, origin - steps_per_week) : origin]
        before = before[np.isfinite(before)]
        if len(before) < FEWEST_BEFORE or not np.isfinite(history[origin]):
            continue
        share = 1 - EXTREME_RATIO if trigger == "high" else EXTREME_RATIO
        limit = np.quantile(before, share)
        is_triggered[place] = history[origin] > limit if trigger == "high" else history[origin] < limit
    return is_triggered


def what_can_be_told(estimand: Estimand) -> str:
    """Say how small an effect could be told over the window, and how likely the believed one is; empty if not known."""
    over = span(estimand.step_s * estimand.window_steps)
    if estimand.detectable is None:
        return ""
    least = value(estimand.detectable, unit_of(estimand.series), digits=3)
    sd = f" ({number(estimand.detectable_sd_units, 2)} sd)" if estimand.detectable_sd_units is not None else ""
    said = f"Over {over}, a change in {estimand.series} of {least}{sd} or more can be detected."
    if estimand.power_ratio is None:
        return said
    likely = chance(estimand.power_ratio)
    return f"{said} The expected effect of this act would be detected with a probability of {likely}."
