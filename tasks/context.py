"""What every stage of one turn of the loop is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from handlers import ActionHandler
from handlers.worlds import World
from settings import Settings
from storage import Store
from storage.actions import ActionView
from storage.records import Autonomy, Breach, Cycle, GoalType, Objective, Pattern, ReceiptStatus
from tasks.authority import level_in_force
from tasks.goals import default_objectives
from tasks.patterns.kept import of_long_search, overlay

OBJECTIVE_FACT = "objective:"
SOURCE_FACT = "source:"
SEARCHED_FACT = "patterns.searched"
DRIVEN_FACT = "breaches.driven"

StageDone = tuple[str, datetime, float, Mapping[str, Any]]
"""A stage's name, when it was done, how long it took in seconds, and what it came to."""


@dataclass(frozen=True)
class Context:
    """The store, the world, the settings and the turn itself; the same live, replayed and simulated."""

    store: Store
    world: World
    settings: Settings
    cycle: Cycle
    actions: Mapping[str, ActionHandler] = field(default_factory=dict)
    _held: list[StageDone] | None = None

    @property
    def tick(self) -> datetime:
        """Return the moment for which this turn decides."""
        return self.cycle.tick

    @property
    def cycle_id(self) -> str:
        """Return the id under which this turn's rows are kept."""
        return self.cycle.cycle_id

    def objectives(self) -> tuple[Objective, ...]:
        """Return the objectives in force: the file's, then those set by hand, then defaults of other names."""
        return objectives_in_force(self.settings, self.store)

    def level(self, goal_type: GoalType, action: str) -> Autonomy:
        """Return what the loop may do with a pair: as earned since it was configured, as configured, or by default."""
        handler = self.actions.get(action)
        default = handler.default_level if handler else Autonomy.APPROVE
        return level_in_force(self.settings, self.store, goal_type, action, default)

    def sets(self, action: str) -> str | None:
        """Return the series whose amount an action sets, as configured or as it says of itself; None for others."""
        handler = self.actions.get(action)
        return self.settings.action(action).sets or (handler.sets if handler else None)

    def latency_s(self, action: str) -> float:
        """Return how long it takes until an action works, as configured or as it says of itself."""
        handler = self.actions.get(action)
        configured = self.settings.action(action).latency_seconds
        return configured if configured is not None else handler.latency_s if handler else 0.0

    def finished(self, since: datetime) -> list[ActionView]:
        """Return the actions that ended after a moment, oldest first, as what limits further acts.

        In a world that only rehearses, as a recording does, what it was told to do counts as if it had been done.
        """
        views = self.store.actions.finished(since)
        return [_as_if_done(view) for view in views] if getattr(self.world, "rehearses", False) else views

    def report(self, stage: str, duration_s: float, summary: Mapping[str, Any]) -> None:
        """Record that a stage of this turn is done, at once or with the others of `reports_together`."""
        done = (stage, self.store.clock(), duration_s, summary)
        if self._held is None:
            self.store.cycles.stages_done(self.cycle_id, [done])
        else:
            self._held.append(done)

    @contextmanager
    def reports_together(self) -> Iterator[Context]:
        """Give a context whose reports are written as one at the end, also where a stage fails."""
        held: list[StageDone] = []
        try:
            yield replace(self, _held=held)
        finally:
            self.store.cycles.stages_done(self.cycle_id, held)


def _as_if_done(view: ActionView) -> ActionView:
    if view.receipt is None or view.receipt.status is not ReceiptStatus.DRY_RUN:
        return view
    return replace(view, receipt=view.receipt.model_copy(update={"status": ReceiptStatus.SUCCEEDED}))


def patterns_in_force(store: Store, cycle_id: str) -> tuple[Pattern, ...]:
    """Return the patterns that a cycle went by: those of the last long search, and on top those it found itself."""
    own = store.patterns.of_cycle(cycle_id)
    searched = store.facts.get(SEARCHED_FACT)
    if searched is None or searched[0] == cycle_id:
        return tuple(own)
    found = overlay(of_long_search(store.patterns.of_search(searched[0])), own)
    return tuple(sorted(found, key=lambda each: (-each.strength, each.pattern_id)))


def breaches_in_force(store: Store, cycle_id: str) -> tuple[Breach, ...]:
    """Return the breaches that a cycle went by: of driven objectives those that the driver foretells."""
    own = store.forecasts.breaches.select("WHERE cycle_id = $cycle_id", {"cycle_id": cycle_id})
    known = store.facts.get(DRIVEN_FACT)
    if known is None or known["cycle_id"] != cycle_id:
        return tuple(own)
    driven = [Breach.model_validate(each) for each in known["breaches"]]
    replaced = {breach.objective for breach in driven}
    return (*(breach for breach in own if breach.objective not in replaced), *driven)


def objectives_in_force(settings: Settings, store: Store) -> tuple[Objective, ...]:
    """Return the objectives in force; one set by hand replaces the file's of the same name, null removes it."""
    known = {
        objective.name: objective for objective in (default_objectives() if settings.use_default_objectives else ())
    }
    known |= {objective.name: objective for objective in settings.objectives}
    for name, value in store.facts.matching(OBJECTIVE_FACT).items():
        if value is None:
            known.pop(name, None)
        else:
            known[name] = Objective.model_validate(value)
    return tuple(known.values())
