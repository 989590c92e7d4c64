"""`foreact evaluate`: forecasters side by side on the metrics of this store, each turn from the past alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from storage import Store
from storage.errors import ForeactError
from storage.records import Frame
from tasks.forecast.evaluate import Row, Turn, evaluate, summarise
from tasks.forecast.forecasters import get
from tasks.monitor import plan_windows

BASELINES = ("fleet", "seasonal_naive")
LEAST_HISTORY_STEPS = 30
WINDOW_STEPS = 2_016


@dataclass(frozen=True)
class Evaluated:
    """The table of one group of series that share a step."""

    step_s: float
    series: int
    horizon: int
    rows: tuple[Row, ...]


def evaluate_store(
    store: Store,
    now: datetime,
    *,
    days: float,
    horizon: int,
    origins: int,
    extra: Sequence[str] = (),
    advance: Callable[[int, int], None] | None = None,
) -> Iterator[Evaluated]:
    """Score fleet, seasonal naive and the forecasters named in `extra` on the last `days` of every series.

    `horizon` is cut to a third of the history where that is short. Raises `history_empty`, or `unknown_forecaster`.
    """
    forecasters = {name: get(name) for name in (*BASELINES, *extra)}
    frames = [frame for frame in _frames(store, now, days) if frame.values.shape[1] > LEAST_HISTORY_STEPS + 3]
    if not frames:
        raise ForeactError(
            "history_empty",
            f"No series has more than {LEAST_HISTORY_STEPS} steps in the last {days:g} days.",
            "Let foreact run for a while, or bring history in with `foreact import FILE`.",
        )
    total = len(frames) * origins * len(forecasters)
    for number, frame in enumerate(frames):
        steps = frame.values.shape[1]
        ahead = min(horizon, (steps - LEAST_HISTORY_STEPS) // 3 + 1)
        starts = np.unique(np.linspace(max(LEAST_HISTORY_STEPS, steps // 2), steps - ahead, origins, dtype=int))
        turns: list[Turn] = []
        for turn in evaluate(
            frame.values,
            forecasters,
            season_lengths=frame.season_lengths,
            horizon=ahead,
            origins=starts.tolist(),
            timer=time.perf_counter,
        ):
            turns.append(turn)
            if advance is not None:
                advance(number * origins * len(forecasters) + turn.done, total)
        yield Evaluated(frame.step_s, len(frame.series), ahead, tuple(summarise(turns)))


def _frames(store: Store, now: datetime, days: float) -> Iterator[Frame]:
    spans = store.samples.spans(now - timedelta(days=days), now)
    for window in plan_windows(spans, now, WINDOW_STEPS):
        yield store.samples.frame(window.series, now, window.step_s, window.steps)
