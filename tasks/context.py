"""What every stage of one turn of the loop is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from typing import Any, ParamSpec, Protocol, TypeVar
from zoneinfo import ZoneInfo

from handlers import ActionsByName
from handlers.worlds import World
from settings import VERSION, Settings
from storage import Store
from storage.actions import ActionView
from storage.records import Autonomy, Cycle, GoalType, ReceiptStatus
from tasks.authority import is_autonomous, level_in_force
from tasks.shared_limits import limits_in_force, within_limits

StageDone = tuple[str, datetime, float, Mapping[str, Any]]
"""A stage's name, when it was done, how long it took in seconds, and what it came to."""

AskLedger = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""Asks who grants a shared budget: its name and what is offered, as JSON, to the lease."""

P = ParamSpec("P")
T = TypeVar("T")


class Once(Protocol):
    """Gives what a function finds, which follows from its arguments alone: by it, or from who was asked the same."""

    def __call__(self, find: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...


def found_here(find: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Find it here, whoever else may do so too."""
    return find(*args, **kwargs)


@dataclass(frozen=True)
class Context:
    """The store, the world, the settings, the turn and the actions as configured; the same live and replayed.

    `ledger` is asked for shares of what several agents share; None asks over the network, as configured. `once` spares
    replays that stand side by side what another one has found.
    """

    store: Store
    world: World
    settings: Settings
    cycle: Cycle
    actions: ActionsByName = field(default_factory=ActionsByName)
    ledger: AskLedger | None = None
    once: Once = found_here
    _held: list[StageDone] | None = None

    @property
    def tick(self) -> datetime:
        """Return the moment for which this turn decides."""
        return self.cycle.tick

    @property
    def cycle_id(self) -> str:
        """Return the id under which this turn's rows are kept."""
        return self.cycle.cycle_id

    @property
    def zone(self) -> tzinfo:
        """Return the time zone of the people served: learned hours, seasons and maintenance go by its clocks."""
        return ZoneInfo(self.settings.forecasting.pattern_recognizer.timezone)

    def level(self, goal_type: GoalType, action: str) -> Autonomy:
        """Return what the loop may do with a pair: as earned since it was configured, as configured, or by default."""
        return level_in_force(self.store, goal_type, self.actions[action])

    def within_shares(self) -> Context:
        """Return it with actions that offer no more of what is shared with others than this agent may hold now."""
        limits = limits_in_force(self.settings, self.store, self.store.clock())
        return replace(self, actions=within_limits(self.actions, limits)) if limits else self

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


def cycle_of(
    settings: Settings, store: Store, tick: datetime, kind: Any, cycle_id: str, flow_run_id: str = ""
) -> Cycle:
    """Describe a turn of the loop under the configuration and the switches in force."""
    return Cycle(
        cycle_id=cycle_id,
        agent=settings.agent.name,
        tick=tick,
        kind=kind,
        autonomous=is_autonomous(settings, store),
        configuration_hash=settings.hash,
        code_version=VERSION,
        seed=settings.agent.seed,
        flow_run_id=flow_run_id,
    )


def _as_if_done(view: ActionView) -> ActionView:
    if view.receipt is None or view.receipt.status is not ReceiptStatus.DRY_RUN:
        return view
    return replace(view, receipt=view.receipt.model_copy(update={"status": ReceiptStatus.SUCCEEDED}))
