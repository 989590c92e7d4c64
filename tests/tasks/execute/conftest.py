"""A stage to execute on: a real store in memory, the live world, and handlers that leave marks in a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.cycle import acting, bare
from flows.simulate import TickClock
from flows.wiring import live_context
from handlers import ActionHandler, from_callable
from handlers.worlds import World
from settings import Settings, load_settings
from storage import Store, open_store
from storage.records import Action, Receipt, Sample
from tasks.context import Context
from tasks.execute.task import execute
from tasks.interventions.undo import plan_undo
from tests.tasks.execute.acts import SERIES, TICK, goal_of, opening


@dataclass
class Desk:
    """A store, settings and handlers, and what is done with them tick by tick."""

    folder: Path
    clock: TickClock
    store: Store
    actions: dict[str, ActionHandler] = field(default_factory=dict)
    world: World | None = None
    overrides: dict[str, Any] = field(default_factory=dict)

    @property
    def marks(self) -> list[str]:
        """Return the lines that handlers wrote."""
        file = self.folder / "marks"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def settings(self) -> Settings:
        return load_settings(self.folder, home=self.folder, **self.overrides)

    def context(self, tick: datetime | None = None) -> Context:
        self.clock.now = tick or self.clock.now
        given: dict[str, Any] = {"actions": self.actions, "world": self.world, "now": self.clock}
        return live_context(self.settings, self.store, self.clock.now, **given)

    def register(self, function: Callable[..., Any], name: str = "restart", **meta: Any) -> None:
        """Register a handler in the form of the original interface."""
        self.actions[name] = from_callable(name, function, default_level="auto", **{"cooldown_s": 0.0} | meta)

    def marking(self, **result: Any) -> Callable[..., Any]:
        """Return a handler that writes its parameters to the file of marks."""
        file = self.folder / "marks"

        def mark(params: Mapping[str, Any], goal_id: str) -> dict[str, Any]:
            with file.open("a") as lines:
                lines.write(f"{dict(params)}\n")
            return {"success": True, **result}

        return mark

    def plan(self, *actions: Action) -> None:
        self.store.actions.append(actions, "cycle-1")

    def hear(self, at: datetime, series: str = SERIES) -> None:
        self.store.samples.append([Sample(metric=series, value=50.0, ts=at)])

    def execute(self, tick: datetime | None = None) -> dict[str, Receipt]:
        """Run the stage once and return its receipts by action."""
        return {receipt.action_id: receipt for receipt in execute.fn(self.context(tick), acting(bare))}

    def plan_undo(self, action_id: str) -> Action:
        """Have the loop take back what was done."""
        view = self.store.actions.get(action_id)
        assert view is not None
        return plan_undo(self.context(), view, "it got worse")

    def later(self, seconds: float) -> datetime:
        return self.clock.now + timedelta(seconds=seconds)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    clock = TickClock(TICK)
    desk = Desk(tmp_path, clock, open_store(clock=clock))
    goal = goal_of()
    desk.store.goals.append([goal], [opening(goal)], "cycle-1")
    desk.hear(TICK)
    desk.register(desk.marking())
    return desk
