"""The composition root: from settings to the store, the world and the handlers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from api.prefect_client import authorization, deployed_actions, our_blocks
from handlers import ActionHandler, discover_actions, discover_sources
from handlers.contract.source import SourceHandler
from handlers.worlds import World
from handlers.worlds.live import LiveWorld
from settings import Settings, utc_now
from storage import Store, TransientError, open_store
from storage.facts import SOURCES
from storage.records import Cycle, stable_id
from tasks.authority import note_configuration
from tasks.configured_actions import actions_in_force
from tasks.context import Context, cycle_of


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


def _completed(settings: Settings, source: SourceHandler, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the options of a source, which looks back no further than samples are kept unless told otherwise.

    One that reads a Prefect server reads ours, with our login, unless told another. The login goes to no other address.
    """
    if "most_lookback_s" in source.options:
        options = {"most_lookback_s": 86_400 * settings.storage.samples_days} | dict(options)
    if "api_url" not in source.options or "api_url" in options:
        return options
    return {"headers": authorization(settings)} | dict(options) | {"api_url": settings.prefect_url}


def live_world(
    settings: Settings, store: Store, actions: Mapping[str, ActionHandler], now: Callable[[], datetime] = utc_now
) -> LiveWorld:
    """Return the real world with the configured sources and the actions registered here, as configured.

    The host source is left to the sampler of the facade unless it is configured as a source.
    """
    available = discover_sources(settings.folder)
    sources = {
        name: (available[name], _completed(settings, available[name], options))
        for name, options in settings.sources.items()
        if name in available
    }
    return LiveWorld(
        actions=actions,
        now=now,
        sources=sources,
        since=lambda part: store.facts.get(SOURCES.of(part)),
        unrecorded_columns=store.samples.unrecorded_columns,
        resolve=our_blocks(settings).resolved,
    )


def new_cycle(settings: Settings, store: Store, tick: datetime, kind: Any = "cycle", flow_run_id: str = "") -> Cycle:
    """Describe one turn of the loop; the same agent and tick always give the same id."""
    note_configuration(settings, store)
    cycle_id = stable_id(kind, settings.agent.name, tick.isoformat())
    return cycle_of(settings, store, tick, kind, cycle_id, flow_run_id)


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
    handlers = discover_actions(settings.folder) if actions is None else actions
    if flow_run_id and actions is None:
        handlers = {**handlers, **deployed_actions(settings.prefect_url, handlers, authorization(settings))}
    configured = actions_in_force(settings, store, handlers)
    cycle = new_cycle(settings, store, tick, kind, flow_run_id)
    here = {name: each for name, each in configured.items() if each.is_carried_out_here}
    return Context(store, world or live_world(settings, store, here, now), settings, cycle, configured)
