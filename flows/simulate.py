"""The same loop against any world, bare and as fast as the machine allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from api.background.alerts import Alerts
from flows.cycle import bare_turn
from flows.reports.episodes import false_alarms, find_episodes
from flows.reports.results import SimulationReport
from flows.wiring import live_context
from handlers import ActionHandler
from handlers.worlds import Acting, World
from handlers.worlds.declared import DeclaredWorld
from settings import Settings
from storage import Store, open_store
from tasks.configured_actions import configured_actions, declared_actions
from tasks.context import Once, found_here
from tasks.objectives.in_force import objectives_in_force

Progress = Callable[[int, int], None]


@dataclass
class TickClock:
    """A clock that shows the tick, so that a replay records nothing with a time of its future."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


def simulate(
    world: World,
    settings: Settings,
    ticks: Iterable[datetime],
    store: Store | Path | str = ":memory:",
    *,
    actions: Mapping[str, ActionHandler] | None = None,
    progress: Progress | None = None,
    alerts: bool = False,
    once: Once = found_here,
) -> SimulationReport:
    """Run the loop over `ticks` (ascending) against a world.

    `world` is any object with `observe` and `act`; what can be done in it is what it proposes itself, or else what the
    configuration declares. Nothing is read from the clock: rows count as recorded at their tick. With `alerts`, for a
    world that is real, people are told what is grave as `[alerts]` of the configuration says. `once` is how a turn
    comes by what others may have found.
    """
    moments = list(ticks)
    if not moments:
        raise ValueError("a simulation needs at least one tick")
    # What is shared with other agents is held in earnest: a rehearsal asks for none of it.
    settings = settings.model_copy(update={"shared": {}})
    clock = TickClock(moments[0])
    kept = store if isinstance(store, Store) else open_store(store, clock)
    handlers, proposing = _with_actions(world, settings, actions)
    telling = Alerts(lambda: settings, kept, clock, "simulation") if alerts and settings.alerts.urls else None
    if telling is not None:
        telling.step()
    for number, tick in enumerate(moments, start=1):
        clock.now = tick
        context = live_context(settings, kept, tick, "simulation", actions=handlers, world=proposing)
        kept.cycles.begin(context.cycle)
        bare_turn(replace(context, once=once))
        if telling is not None:
            telling.step()
        if progress is not None:
            progress(number, len(moments))
    return _report(kept, settings, moments)


def _with_actions(
    world: World, settings: Settings, actions: Mapping[str, ActionHandler] | None
) -> tuple[Mapping[str, ActionHandler], World]:
    if actions is not None or isinstance(world, Acting):
        return actions or getattr(world, "actions", {}), world
    declared = declared_actions(settings)
    return declared, DeclaredWorld(world, configured_actions(settings, declared))


def _report(store: Store, settings: Settings, moments: list[datetime]) -> SimulationReport:
    goals, objectives = store.goals.all(100_000), objectives_in_force(settings, store)
    episodes = find_episodes(store, objectives, goals, moments[0], moments[-1])
    return SimulationReport(
        first_tick=moments[0],
        last_tick=moments[-1],
        ticks=len(moments),
        goals=tuple(goals),
        actions=tuple(store.actions.latest(100_000)),
        outcomes=tuple(store.outcomes.latest(100_000)),
        store=store,
        objectives=tuple(objectives),
        episodes=tuple(episodes),
        false_alarms=tuple(false_alarms(goals, episodes, moments[-1], objectives)),
    )
