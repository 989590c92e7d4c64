"""Which window of which series to look at: as fine as the sampling allows, as long as the history is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from storage.samples import SeriesInfo

STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400)
LONGEST_STEP_S = 300
SPARSE_REACH_S = 35 * 86_400  # four weeks to learn a weekly rhythm from, and one to see it in
MAX_JITTER_RATIO = 1.2


@dataclass(frozen=True)
class FrameWindow:
    """Series that share a step; `steps` reach back to the oldest sample among them, within the limit."""

    step_s: float
    steps: int
    series: tuple[str, ...]


def sparse(spans: Iterable[SeriesInfo]) -> list[str]:
    """Return the series whose samples lie so far apart that weeks of them are few: they are looked at for longer."""
    return [info.series for info in spans if info.interval_s > LONGEST_STEP_S * MAX_JITTER_RATIO]


def choose_step_s(interval_s: float, span_s: float, window_steps: int, fixed_step_s: float = 0) -> float:
    """Return the finest step of the ladder that holds a sample and lets the history fit into the window.

    A step never grows beyond five minutes for the sake of history alone: a week in 2016 steps is enough.
    """
    wanted_s = max(interval_s / MAX_JITTER_RATIO, min(span_s / window_steps, LONGEST_STEP_S))
    step_s = next((step for step in STEPS_S if step >= wanted_s), STEPS_S[-1])
    return max(step_s, fixed_step_s)


def plan_windows(
    spans: Iterable[SeriesInfo], tick: datetime, window_steps: int, fixed_step_s: float = 0, max_series: int = 10_000
) -> tuple[FrameWindow, ...]:
    """Group series by step; series beyond `max_series` are left out, the least recently seen first."""
    heard = [(info.last, info.series, info) for info in spans if info.last is not None]
    newest = sorted(heard, key=lambda each: each[:2], reverse=True)[:max_series]
    groups: dict[float, list[tuple[float, str]]] = defaultdict(list)
    for last, series, info in newest:
        span_s = (tick - (info.first or last)).total_seconds()
        step_s = choose_step_s(info.interval_s, span_s, window_steps, fixed_step_s)
        groups[step_s].append((span_s, series))
    return tuple(
        FrameWindow(
            step_s,
            min(window_steps, max(1, round(max(span_s for span_s, _ in members) / step_s) + 1)),
            tuple(sorted(series for _, series in members)),
        )
        for step_s, members in sorted(groups.items())
    )
