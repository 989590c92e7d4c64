"""The demo for a newcomer: the same fortnight of a simulated web shop, without foreact and with it.

Nothing real is touched. All ways to run the shop meet the same orders and the same chance: equal seeds draw equally,
whatever is done. Two ways need no loop: nobody does anything, and a threshold rule that its author told which action
helps. foreact is told of neither the rush nor the action.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from flows.reports.results import SimulationReport
from flows.simulate import Progress, simulate
from handlers.worlds.shop import CONFIGURATION, INFLUENCES, LATE_MINUTE_COST, RESPONSE, STEP, Shop
from settings import CONFIG_NAME, Settings, load_settings
from storage.records import Action, FloatArray, GoalType, ReceiptStatus, Sample

END = datetime(2026, 1, 18, 16, tzinfo=UTC)
"""Where the fortnight ends, shortly before a rush: always the same, so that anybody's demo shows what ours does."""
RULE_ACTS = "add_workers"
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Way:
    """How a shop fared that was run in one way: its response time every five minutes, and what was done when.

    `times` are ends of steps, ascending; a step is late where its response time is above `bound`.
    """

    name: str
    times: Sequence[datetime]
    response_ms: FloatArray
    acts: Sequence[tuple[datetime, str]]
    bound: float

    @property
    def late_minutes(self) -> float:
        """Return for how long answers were late."""
        return self.late_minutes_between(self.times[0], self.times[-1])

    def late_minutes_between(self, start: datetime, end: datetime) -> float:
        """Return for how long answers were late from `start` to `end`, both included."""
        late = self.response_ms > self.bound
        return float(sum(late[at] for at, time in enumerate(self.times) if start <= time <= end)) * (STEP.seconds / 60)

    @property
    def cost(self) -> float:
        """Return what late answers lost and acts cost."""
        return self.late_minutes * LATE_MINUTE_COST + sum(INFLUENCES[name].cost for _, name in self.acts)


@dataclass(frozen=True)
class DemoReport:
    """The same fortnight run in three ways; `simulation` holds what the loop did and learned in the last of them."""

    nothing: Way
    rule: Way
    foreact: Way
    simulation: SimulationReport

    @property
    def ways(self) -> tuple[Way, Way, Way]:
        """Return all three."""
        return self.nothing, self.rule, self.foreact

    def weeks(self) -> list[tuple[datetime, datetime]]:
        """Return the first week and what follows; one stretch where it is no more than a week."""
        start, end = self.foreact.times[0], self.foreact.times[-1]
        edges = [start, start + WEEK, end] if end - start > WEEK else [start, end]
        return [(one if at == 0 else one + STEP, other) for at, (one, other) in enumerate(pairwise(edges))]

    def summary(self) -> dict[str, Any]:
        """Return the figures of every way and of the loop, ready for JSON."""
        weeks = self.weeks()
        return {
            "ways": {
                way.name: {
                    "late_minutes": way.late_minutes,
                    "late_minutes_by_week": [way.late_minutes_between(*week) for week in weeks],
                    "acts": len(way.acts),
                    "cost": way.cost,
                }
                for way in self.ways
            },
            "foreact": self.simulation.summary(),
        }


def lay_out(folder: Path) -> Settings:
    """Prepare a folder for a fresh demo and return its settings; a configuration changed by hand is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / CONFIG_NAME).exists():
        shutil.copyfile(CONFIGURATION, folder / CONFIG_NAME)
    settings = load_settings(folder)
    shutil.rmtree(settings.home, ignore_errors=True)
    settings.home.mkdir(parents=True)
    return settings


def play(
    settings: Settings, days: float = 14.0, seed: int = 0, progress: Progress | None = None, end: datetime = END
) -> DemoReport:
    """Run the shop over the `days` up to `end` in three ways, and keep all of the loop in the settings' database."""
    every = timedelta(seconds=settings.analysis_interval_s)
    count = max(1, int(timedelta(days=days) / every))
    ticks = [end - every * back for back in range(count - 1, -1, -1)]
    start = ticks[0] - every
    bound = next(each.bound for each in settings.objectives if each.metric == RESPONSE)
    report = simulate(Shop(start, seed=seed), settings, ticks, settings.database_path, progress=progress)
    nothing = _without_loop("nothing done", Shop(start, seed=seed), start, end, bound, lambda at, ms: None)
    rule = _without_loop("threshold rule", Shop(start, seed=seed), start, end, bound, ThresholdRule(bound).decide)
    return DemoReport(nothing, rule, _as_run(report, start, end, bound), report)


@dataclass
class ThresholdRule:
    """More workers as soon as an answer is late, unless they were started less than two hours ago.

    It looks every five minutes, twelve times as often as the loop of this demo.
    """

    bound: float
    _acted_at: datetime | None = None

    def decide(self, at: datetime, response_ms: float) -> str | None:
        """Return the action to take now, if any."""
        is_under_way = self._acted_at is not None and at - self._acted_at < INFLUENCES[RULE_ACTS].lasts
        if response_ms <= self.bound or is_under_way:
            return None
        self._acted_at = at
        return RULE_ACTS


def _without_loop(
    name: str,
    shop: Shop,
    start: datetime,
    end: datetime,
    bound: float,
    decide: Callable[[datetime, float], str | None],
) -> Way:
    """Run a shop by something that sees the newest response time and names an action, every five minutes."""
    acts: list[tuple[datetime, str]] = []
    times: list[datetime] = []
    values: list[float] = []
    list(shop.observe(start))
    for at in _steps(start, end):
        value = next(s.value for s in shop.observe(at) if isinstance(s, Sample) and s.metric == RESPONSE)
        times.append(at)
        values.append(value)
        if (action := decide(at, value)) is not None:
            shop.act(_action(action, at, len(acts)), at)
            acts.append((at, action))
    return Way(name, times, np.array(values), acts, bound)


def _steps(start: datetime, end: datetime) -> Iterator[datetime]:
    at = start + STEP
    while at <= end:
        yield at
        at += STEP


def _action(name: str, at: datetime, number: int) -> Action:
    return Action(
        action_id=f"rule-{number}",
        goal_id="",
        plan_id="",
        decision_id="",
        goal_type=GoalType.BOTTLENECK_PREVENTION,
        name=name,
        created_at=at,
        due_at=at,
        expires_at=at + timedelta(hours=1),
        horizon_s=7_200,
        level="auto",
        strategy="IMMEDIATE",
    )


def _as_run(report: SimulationReport, start: datetime, end: datetime, bound: float) -> Way:
    """Return how the shop fared that the loop ran."""
    times = list(_steps(start, end))
    frame = report.store.samples.frame([RESPONSE], end, STEP.total_seconds(), len(times))
    done = [view for view in report.actions if view.receipt and view.receipt.status is ReceiptStatus.SUCCEEDED]
    acts = sorted(
        (view.receipt.finished_at, view.action.name)
        for view in done
        if view.receipt and view.action.name in INFLUENCES and not view.action.undo_of
    )
    return Way("foreact", times, frame.values[0], acts, bound)
