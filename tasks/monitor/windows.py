"""Which window of which series to look at: as fine as the sampling allows, as long as the history is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from storage.samples import SeriesInfo

STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400)
LONGEST_STEP_S = 300
MAX_JITTER_RATIO = 1.2


@dataclass(frozen=True)
class Window:
    """Series that share a step; `steps` reach back to the oldest sample among them, within the limit."""

    step_s: float
    steps: int
    series: tuple[str, ...]


def choose_step_s(interval_s: float, span_s: float, window_steps: int, fixed_step_s: float = 0) -> float:
    """Return the finest step of the ladder that holds a sample and lets the history fit into the window.

    A step never grows beyond five minutes for the sake of history alone: a week in 2016 steps is enough.
    """
    wanted_s = max(interval_s / MAX_JITTER_RATIO, min(span_s / window_steps, LONGEST_STEP_S))
    step_s = next((step for step in STEPS_S if step >= wanted_s), STEPS_S[-1])
    return max(step_s, fixed_step_s)


def plan_windows(
    spans: Iterable[SeriesInfo], tick: datetime, window_steps: int, fixed_step_s: float = 0, max_series: int = 10_000
) -> tuple[Window, ...]:
    """Group series by step; series beyond `max_series` are left out, the least recently seen first."""
    recent = sorted(spans, key=lambda info: (info.last is not None, info.last), reverse=True)[:max_series]
    groups: dict[float, list[SeriesInfo]] = defaultdict(list)
    for info in recent:
        if info.first is not None:
            span_s = (tick - info.first).total_seconds()
            groups[choose_step_s(info.interval_s, span_s, window_steps, fixed_step_s)].append(info)
    return tuple(
        Window(
            step_s,
            min(window_steps, max(1, round(max(_age_s(info, tick) for info in members) / step_s) + 1)),
            tuple(sorted(info.series for info in members)),
        )
        for step_s, members in sorted(groups.items())
    )


def _age_s(info: SeriesInfo, tick: datetime) -> float:
    return (tick - info.first).total_seconds() if info.first else 0.0
