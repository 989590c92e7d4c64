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
SILENT_S = 600.0
MANY_GONE = 100
"""So many series of one metric that spoke once and are silent come of a label that never repeats."""


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


def worth_following(spans: Iterable[SeriesInfo], tick: datetime, max_series: int) -> tuple[list[SeriesInfo], list[str]]:
    """Return the series to look at, at most `max_series`, and a sentence for each metric of which some are left out.

    A label that never repeats makes a series of every sample: those that spoke once and are silent tell nothing. Beyond
    the limit a metric with more series than its equal share gives way, so that one that explodes displaces no other;
    of its series those that spoke most often stay.
    """
    by_metric: dict[str, list[SeriesInfo]] = defaultdict(list)
    for info in spans:
        if info.last is not None:
            by_metric[info.metric].append(info)
    kept: dict[str, list[SeriesInfo]] = {}
    for metric, known in by_metric.items():
        gone = [each for each in known if each.count < 2 and (tick - (each.last or tick)).total_seconds() > SILENT_S]
        lost = {each.series for each in gone} if len(gone) >= MANY_GONE else set[str]()
        kept[metric] = [each for each in known if each.series not in lost]
    share = _equal_share([len(members) for members in kept.values()], max_series)
    told = []
    for metric, known in by_metric.items():
        members = kept[metric]
        if len(members) > share:
            kept[metric] = sorted(members, key=lambda each: (-each.count, each.series))[:share]
        if len(kept[metric]) < len(known):
            told.append(
                f"{metric} has more series than are looked at. Most likely a label of it takes ever new values, such "
                "as an id: leave that label out. Otherwise raise forecasting.forecaster.max_series."
            )
    return [info for members in kept.values() for info in members], told


def _equal_share(counts: Iterable[int], most: int) -> int:
    """Return how many series each metric may have so that all together have no more than `most`; one at least."""
    ascending = sorted(counts)
    left = most
    for place, count in enumerate(ascending):
        share = left // (len(ascending) - place)
        if count > share:
            return max(1, share)
        left -= count
    return max(ascending, default=1)


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
