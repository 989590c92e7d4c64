"""Evidence for tests: frames from plain arrays, forecasts from a line, one tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from storage.records import Breach, Forecast, Frame, GoalState, GoalView, Objective
from tasks.goals.changes import GoalChanges
from tasks.goals.evidence import Evidence
from tasks.objectives.defaults import default_objectives, example_objectives

TICK = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def frame_of(
    values: Mapping[str, Sequence[float]] | Mapping[str, np.ndarray], step_s: float = 60.0, end: datetime = TICK
) -> Frame:
    rows = [np.asarray(row, dtype=float) for row in values.values()]
    longest = max(len(row) for row in rows)
    padded = [np.concatenate([np.full(longest - len(row), np.nan), row]) for row in rows]
    return Frame(series=tuple(values), values=np.stack(padded), end=end, step_s=step_s)


def forecast_of(series: str, point: Sequence[float], step_s: float = 60.0, tick: datetime = TICK) -> Forecast:
    middle = np.asarray(point, dtype=float)
    spread = 0.05 * np.abs(middle) + 1e-9
    quantiles = np.stack([middle - spread, middle, middle + spread], axis=1)
    return Forecast(
        series=series,
        issued_at=tick,
        step_s=step_s,
        levels=(0.05, 0.5, 0.95),
        point=middle,
        quantiles=quantiles,
        method="line",
    )


def breach_of(objective: Objective, probability: float, in_s: float = 1_800.0, tick: datetime = TICK) -> Breach:
    at = tick + timedelta(seconds=in_s)
    return Breach(objective=objective.name, series=objective.metric, probability=probability, expected_at=at)


def evidence_of(
    objective: Objective | Sequence[Objective],
    values: Mapping[str, Any],
    *,
    probability: float | None = None,
    step_s: float = 60.0,
    tick: datetime = TICK,
    **more: Any,
) -> Evidence:
    objectives = (objective,) if isinstance(objective, Objective) else tuple(objective)
    breaches = () if probability is None else tuple(breach_of(each, probability, tick=tick) for each in objectives)
    frames = (frame_of(values, step_s, tick),)
    return Evidence(**{"tick": tick, "objectives": objectives, "frames": frames, "breaches": breaches} | more)


def open_after(changes: GoalChanges, before: Sequence[GoalView] = ()) -> list[GoalView]:
    return [view for view in changes.views(before) if view.is_open]


def closed_after(changes: GoalChanges, before: Sequence[GoalView] = ()) -> list[GoalView]:
    return [view for view in changes.views(before) if not view.is_open]


def states_of(changes: GoalChanges) -> list[GoalState]:
    return [move.state for move in changes.transitions]


def a_bad_day() -> Evidence:
    """Return evidence on which every kind of default objective is missed."""
    minutes = np.arange(1_440)
    slow = np.where(minutes % 3 == 0, 900.0, 100.0)
    slow[-3:] = 900.0
    fine = {
        "cpu_used_ratio": np.full(1_440, 0.97),
        "memory_used_ratio": np.full(1_440, 0.95),
        'disk_used_ratio{mount="/"}': 0.5 + 0.35 * minutes / 1_440,
        "latency": slow,
    }
    hourly = {
        'disk_used_ratio{mount="/"}': 0.2 + 0.65 * np.arange(480) / 480,
        "cost_per_hour": np.full(480, 5.0),
    }
    frames = (frame_of(fine), frame_of({"cost_per_hour": np.full(24, 5.0)}, 3_600.0))
    objectives = (*default_objectives(), *example_objectives())
    return Evidence(tick=TICK, objectives=objectives, frames=frames, hourly=frame_of(hourly, 3_600.0))
