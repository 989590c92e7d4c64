"""`foreact evaluate`: compare forecasters on the metrics of this store, without looking ahead."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

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


def evaluations(evaluated: Sequence[Evaluated]) -> None:
    """Print a table for each group of series that share a step, the best figure of each column bold."""
    console = Console()
    for group in evaluated:
        title = f"{group.series} series, steps of {group.step_s:g} s"
        if not group.rows:
            console.print(f"{title}: not compared, {group.reason}.")
            continue
        shown = Table(title=f"{title}, {group.horizon} ahead", title_justify="left", box=None, pad_edge=False)
        shown.add_column("forecaster", overflow="fold")
        for head in ("n", "MASE", "sCRPS", "covers", "Brier", "AUC", "late by", "ms"):
            shown.add_column(head, justify="right", no_wrap=True)
        best = {name: _best(name, group.rows) for name in _TARGETS}
        for row in group.rows:
            figures = [_figure(name, getattr(row, name), best[name], group.step_s) for name in _TARGETS]
            shown.add_row(escape(row.forecaster), str(row.forecasts), *figures)
        console.print(shown)
    console.print(
        "n: forecasts scored. MASE, sCRPS, Brier: lower is better. covers: by the 90 % interval, ideally .900. "
        "AUC: for breaches of the 95 % quantile, ideally 1. late by: error of the breach time. ms: per series.",
        style="dim",
    )


_TARGETS: Mapping[str, float] = {
    "mase": 0.0,
    "scaled_crps": 0.0,
    "coverage": 0.9,
    "brier": 0.0,
    "auc": 1.0,
    "breach_time_error": 0.0,
    "ms_per_series": 0.0,
}


def _best(name: str, rows: Sequence[ForecasterRow]) -> float:
    """Return how near to the ideal the best forecaster comes."""
    distances = [abs(getattr(row, name) - _TARGETS[name]) for row in rows if math.isfinite(getattr(row, name))]
    return min(distances, default=math.nan)


def _figure(name: str, value: float, best: float, step_s: float) -> str:
    if not math.isfinite(value):
        return "–"
    text = f"{value:.3f}"
    if name == "breach_time_error":
        text = _span(value * step_s)
    elif name == "ms_per_series":
        text = f"{value:.1f}"
    return f"[bold]{text}[/bold]" if abs(value - _TARGETS[name]) <= best else text


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
