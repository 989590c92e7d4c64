"""The first three stages of the loop over a store in memory, for tests of what surrounds the forecaster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.cycle import bare
from flows.simulate import TickClock
from flows.wiring import live_context
from settings import load_settings
from storage import Store, open_store
from storage.records import Action, Event, Frame, Objective, Pattern, Receipt, ReceiptStatus, Sample
from tasks.context import Context
from tasks.forecast import earlier_residuals
from tasks.forecast.risk.outlook import Outlook
from tasks.forecast.task import forecast
from tasks.goals.task import goals
from tasks.monitor.task import monitor
from tasks.patterns.task import patterns

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Silent:
    """A world that reports nothing by itself: what is recorded is there already."""

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        return iter(())

    def act(self, action: Action, tick: datetime) -> Receipt:
        return Receipt(action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, started_at=tick, finished_at=tick)


class Loop:
    """A store, its clock, and cycles over what is recorded."""

    def __init__(self, folder: Path, objectives: Sequence[Objective] = (), **forecaster: Any) -> None:
        self.settings = load_settings(
            folder,
            home=folder,
            use_default_objectives=False,
            objectives=tuple(objectives),
            agent={"analysis_interval_minutes": 60},
            forecasting={"forecaster": {"horizon_steps": 24, "step_seconds": 3_600} | forecaster},
        )
        self.clock = TickClock(START)
        self.store: Store = open_store(clock=self.clock)
        self.frames: tuple[Frame, ...] = ()
        self.patterns: tuple[Pattern, ...] = ()
        self._turns = 0

    def record(
        self, series: str, values: NDArray[Any] | Sequence[float], first: datetime = START, step: timedelta = HOUR
    ) -> None:
        """Record one value a step, NaN left out; the first lies at `first`."""
        self.store.samples.append(
            [
                Sample(metric=series, value=float(value), ts=first + step * place)
                for place, value in enumerate(values)
                if np.isfinite(value)
            ]
        )

    def happen(self, event_type: str, *moments: datetime) -> None:
        """Record an event at some moments."""
        self.store.events.append([Event(event_type=event_type, ts=moment) for moment in moments])

    def context(self, tick: datetime) -> Context:
        """Return what the stages of a turn are given."""
        self.clock.now = tick
        return live_context(self.settings, self.store, tick, "simulation", actions={}, world=Silent(), now=self.clock)

    def cycle(self, tick: datetime) -> Outlook:
        """Monitor, find patterns and forecast."""
        context = self.context(tick)
        self.store.cycles.begin(context.cycle)
        self.frames = bare(monitor, context)
        self.patterns = bare(patterns, context, self.frames, earlier_residuals)
        outlook: Outlook = bare(forecast, context, self.frames, self.patterns)
        return outlook

    def set_goals(self, tick: datetime) -> tuple[Any, ...]:
        """Run a whole turn up to the goals and return those that are open."""
        outlook = self.cycle(tick)
        found: tuple[Any, ...] = bare(goals, self.context(tick), outlook, self.patterns)
        return found

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the store."""
        return self.store.engine.rows(sql)


def wave(hours: int, level: float = 50.0, noise: float = 1.0, seed: int = 0) -> NDArray[np.float64]:
    """A day's wave with noise, one value an hour."""
    t = np.arange(hours)
    return np.asarray(level + 5 * np.sin(2 * np.pi * t / 24) + np.random.default_rng(seed).normal(0, noise, hours))
