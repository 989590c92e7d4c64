"""A machine whose load wanders, three things that can be done about them, and a person who agrees to all of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from flows.simulate import TickClock
from settings import Settings, load_settings
from storage import Store, open_store
from storage.records import Action, Approval, Autonomy, Event, Objective, Receipt, ReceiptStatus, Sample
from tasks.interventions.undo import undo_of

START = datetime(2026, 3, 2, tzinfo=UTC)
STEP = timedelta(minutes=5)
BOUND = 60.0
SHED, STIR, CHURN = "shed", "stir", "churn"
TRUTH = {SHED: {"load": -12.0, "throughput": -4.0}, STIR: {}, CHURN: {"load": 8.0}}
"""What each action really adds to each metric, for an hour; everything else it leaves as it is."""

LASTS = timedelta(hours=1)
LEVELS = {"load": (50.0, 8.0, 0.973), "throughput": (200.0, 3.0, 0.6), "temperature": (40.0, 1.0, 0.6)}
"""Each metric's mean, its standard deviation, and how much of a deviation is left five minutes later."""

EXERCISED_UNDOS = 3


@dataclass
class WanderingMachine:
    """Load that wanders up and comes down again by itself: to whoever counts what fell afterwards, any action works."""

    seed: int = 1
    step: int = 0
    acts: list[tuple[datetime, Action]] = field(default_factory=list)
    store: Store | None = None
    clock: TickClock = field(default_factory=lambda: TickClock(START))

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.away = dict.fromkeys(LEVELS, 0.0)

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        self.clock.now = tick
        while START + (self.step + 1) * STEP <= tick:
            self.step += 1
            moment = START + self.step * STEP
            for metric, (mean, spread, kept) in LEVELS.items():
                shock = float(self.rng.normal(0, spread * np.sqrt(1 - kept**2)))
                self.away[metric] = kept * self.away[metric] + shock
                yield Sample(metric=metric, value=mean + self.away[metric] + self._moved(metric, moment), ts=moment)
        self._ask_the_person(tick)

    def act(self, action: Action, tick: datetime) -> Receipt:
        self.acts.append((tick, action))
        return Receipt(action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, started_at=tick, finished_at=tick)

    def _moved(self, metric: str, moment: datetime) -> float:
        undone = {action.undo_of: at for at, action in self.acts if action.undo_of}
        return sum(
            TRUTH[action.name].get(metric, 0.0)
            for at, action in self.acts
            if not action.undo_of and at < moment <= min(at + LASTS, undone.get(action.action_id, moment))
        )

    def _ask_the_person(self, tick: datetime) -> None:
        """Let somebody agree to whatever waits, and try out some undos."""
        if self.store is None:
            return
        for view in self.store.actions.pending():
            if view.approval is None and view.action.level is not Autonomy.AUTO and not view.action.undo_of:
                self.store.actions.approve(
                    Approval(
                        action_id=view.action.action_id,
                        approved=True,
                        by="ada",
                        at=tick,
                        expires_at=view.action.expires_at,
                    )
                )
        self._exercise_undo(tick)

    def _exercise_undo(self, tick: datetime) -> None:
        assert self.store is not None
        for name in (SHED, STIR):
            undone = {action.undo_of for _, action in self.acts if action.undo_of and action.name == name}
            done = [(at, a) for at, a in self.acts if a.name == name and not a.undo_of and a.action_id not in undone]
            ripe = [a.action_id for at, a in done if LASTS < tick - at < 4 * LASTS]
            if ripe and len(undone) < EXERCISED_UNDOS and self.store.actions.undo_for(ripe[0]) is None:
                view = self.store.actions.get(ripe[0])
                assert view is not None
                self.store.actions.append([undo_of(view, tick, is_reversible=True)], "by hand")
                self.store.audit.append("somebody", "undo action", ripe[0], {"note": "does that work?"})


def machine(folder: Path, seed: int = 1) -> tuple[WanderingMachine, Settings]:
    """Return a machine with an open store and the settings for it: every action begins at approve."""
    declared = {
        "goal_types": ["BOTTLENECK_PREVENTION"],
        "metrics": ["load"],
        "candidates": [{}],
        "risk": "low",
        "level": "approve",
        "cooldown_seconds": 1_200,
        "duration_seconds": LASTS.total_seconds(),
    }
    changes: dict[str, Any] = {
        "use_default_objectives": False,
        "objectives": (Objective(name="load", metric="load", bound=BOUND, severity=0.6, horizon_s=7_200),),
        "agent": {"analysis_interval_minutes": 20},
        "forecasting": {"forecaster": {"horizon_steps": 36, "window_steps": 1_000}},
        "executor": {
            "measure_horizon_seconds": 3_600,
            "rate_limits": ["1000/day"],
            "blast_radius": 100,
            "holdout_ratio": 0.1,
        },
        "actions": dict.fromkeys((SHED, STIR, CHURN), declared),
    }
    settings = load_settings(folder, home=folder, **changes)
    made = WanderingMachine(seed=seed)
    made.store = open_store(clock=made.clock)
    return made, settings


def ticks(days: float, first: timedelta = timedelta(hours=4)) -> list[datetime]:
    """Return a tick every 20 minutes."""
    every = timedelta(minutes=20)
    return [START + first + every * n for n in range(int(timedelta(days=days) / every))]
