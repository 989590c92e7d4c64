"""The composition root: from settings to the store, the world and the handlers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from handlers import ActionHandler, discover_actions, discover_sources
from handlers.worlds import World
from handlers.worlds.live import LiveWorld
from settings import VERSION, Settings, utc_now
from storage import Store, TransientError, open_store
from storage.facts import SOURCES
from storage.records import Cycle, stable_id
from tasks.authority import is_autonomous, note_configuration
from tasks.configured_actions import configured_actions
from tasks.context import Context


def open_configured_store(settings: Settings, patience_s: float = 30.0) -> Store:
    """Open the store of a configuration: attached to its owner, or the file itself.

    An owner that is just being restarted is waited for; raises TransientError when it does not come back.
    """
    give_up_s, pause_s = time.monotonic() + patience_s, 0.1
    while True:
        try:
            return open_store(settings.database_path)
        except TransientError:
            if time.monotonic() + pause_s > give_up_s:
                raise
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 3.0)


def live_world(
    settings: Settings, store: Store, actions: Mapping[str, ActionHandler], now: Callable[[], datetime] = utc_now
) -> LiveWorld:
    """Return the real world with the configured sources and the actions registered here, as configured.

    The host source is left to the sampler of the facade unless it is configured as a source.
    """
    available = discover_sources()
    sources = {name: (available[name], options) for name, options in settings.sources.items() if name in available}
    return LiveWorld(
        actions=actions,
        now=now,
        sources=sources,
        since=lambda name: store.facts.get(SOURCES.of(name)),
    )


def new_cycle(settings: Settings, store: Store, tick: datetime, kind: Any = "cycle", flow_run_id: str = "") -> Cycle:
    """Describe one turn of the loop; the same agent and tick always give the same id."""
    note_configuration(settings, store)
    return Cycle(
        cycle_id=stable_id(kind, settings.agent.name, tick.isoformat()),
        agent=settings.agent.name,
        tick=tick,
        kind=kind,
        autonomous=is_autonomous(settings, store),
        configuration_hash=settings.hash,
        code_version=VERSION,
        seed=settings.agent.seed,
        flow_run_id=flow_run_id,
    )


def live_context(
    settings: Settings,
    store: Store,
    tick: datetime,
    kind: Any = "cycle",
    flow_run_id: str = "",
    actions: Mapping[str, ActionHandler] | None = None,
    world: World | None = None,
    now: Callable[[], datetime] = utc_now,
) -> Context:
    """Put together what every stage of a live turn is given."""
    handlers = discover_actions() if actions is None else actions
    configured = configured_actions(settings, handlers)
    cycle = new_cycle(settings, store, tick, kind, flow_run_id)
    here = {name: configured[name] for name in handlers}
    return Context(store, world or live_world(settings, store, here, now), settings, cycle, configured)
