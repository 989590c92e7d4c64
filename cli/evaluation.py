"""`foreact evaluate`: compare forecasters on the metrics of this store, without looking ahead."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from settings import ForecasterSettings
from storage import Store
from storage.errors import ForeactError
from storage.records import Frame
from tasks.forecast.forecasters import Forecaster, get
from tasks.forecast.verification.rolling_origin import ForecasterRow, Turn, evaluate, summarise
from tasks.monitor import plan_windows

BASELINES = ("fleet", "seasonal_naive")
LEAST_HISTORY_STEPS = 30
LEAST_STEPS = LEAST_HISTORY_STEPS + 4


@dataclass(frozen=True)
class Evaluated:
    """The table of one group of series that share a step; `reason` says why it has no rows."""

    step_s: float
    series: int
    horizon: int
    rows: tuple[ForecasterRow, ...]
    reason: str = ""

    def plain(self) -> dict[str, Any]:
        """Return it ready for JSON, which knows no NaN."""
        rows = [
            {
                name: None if isinstance(value, float) and math.isnan(value) else value
                for name, value in asdict(row).items()
            }
            for row in self.rows
        ]
        return asdict(self) | {"rows": rows}


@dataclass(frozen=True)
class Question:
    """What to compare: the newest `days`, forecast `horizon` steps ahead from `origins` moments.

    `extra` are forecasters besides fleet and seasonal naive; `series` is a pattern such as `cpu*`.
    """

    days: float
    horizon: int
    origins: int
    extra: Sequence[str] = ()
    series: str = "*"


def evaluate_store(
    store: Store,
    now: datetime,
    question: Question,
    options: ForecasterSettings,
    advance: Callable[[int, int], None] | None = None,
) -> Iterator[Evaluated]:
    """Score forecasters on the series of a store without looking ahead; one table per step length.

    Methods take their configured arguments. The horizon is at most a third of the history. Raises `history_empty`, or
    what a forecaster's file raises for a name or an argument.
    """
    forecasters = {name: get(name, options.arguments.get(name)) for name in (*BASELINES, *question.extra)}
    frames = list(_frames(store, now, question, options))
    if not any(_steps(frame) >= LEAST_STEPS for frame in frames):
        raise ForeactError(
            "history_empty",
            f"No series has {LEAST_STEPS} steps in the last {question.days:g} days.",
            "Let foreact run for a while, or import history with `foreact import FILE`.",
        )
    planned = [len(_starts(frame, question)) * len(forecasters) for frame in frames]
    done = 0
    for frame, turns in zip(frames, planned, strict=True):
        yield _group(frame, forecasters, question, _Bar(done, sum(planned), advance))
        done += turns


@dataclass(frozen=True)
class _Bar:
    done: int
    total: int
    advance: Callable[[int, int], None] | None

    def show(self, turn: Turn) -> None:
        if self.advance is not None:
            self.advance(self.done + turn.done, self.total)


def _group(frame: Frame, forecasters: dict[str, Forecaster], question: Question, bar: _Bar) -> Evaluated:
    count, steps = len(frame.series), _steps(frame)
    starts = _starts(frame, question)
    if not starts:
        reason = f"{steps} steps of history; {LEAST_STEPS} are needed"
        return Evaluated(frame.step_s, count, 0, (), reason)
    turns: list[Turn] = []
    for turn in evaluate(
        frame.values,
        forecasters,
        season_lengths=frame.season_lengths,
        horizon=_ahead(frame, question),
        origins=starts,
        timer=time.perf_counter,
    ):
        turns.append(turn)
        bar.show(turn)
    return Evaluated(frame.step_s, count, _ahead(frame, question), tuple(summarise(turns)))


def _steps(frame: Frame) -> int:
    return int(frame.values.shape[1])


def _ahead(frame: Frame, question: Question) -> int:
    return max(1, min(question.horizon, (_steps(frame) - LEAST_HISTORY_STEPS) // 3 + 1))


def _starts(frame: Frame, question: Question) -> list[int]:
    """Return the steps of history each forecast sees: from half of all to all but a horizon."""
    steps = _steps(frame)
    if steps < LEAST_STEPS:
        return []
    first, last = max(LEAST_HISTORY_STEPS, steps // 2), steps - _ahead(frame, question)
    return [int(start) for start in np.unique(np.linspace(min(first, last), last, question.origins, dtype=int))]


def _frames(store: Store, now: datetime, question: Question, options: ForecasterSettings) -> Iterator[Frame]:
    spans = store.samples.spans(now - timedelta(days=question.days), now)
    meant = [info for info in spans if fnmatchcase(info.series, question.series)]
    for window in plan_windows(meant, now, options.window_steps, options.step_seconds, options.max_series):
        frame = store.samples.frame(window.series, now, window.step_s, window.steps)
        yield frame.in_seasons(options.seasons_seconds)
