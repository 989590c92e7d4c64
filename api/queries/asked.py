"""The loop's own context for a question: what could be done is answered as the loop would, and nothing is done."""

from __future__ import annotations

from datetime import datetime

from api.facade import Facade
from handlers import discover_actions
from handlers.worlds.replay import Recording, ReplayWorld
from settings import VERSION
from storage.records import Cycle
from tasks.authority import is_autonomous
from tasks.configured_actions import configured_actions
from tasks.context import Context


def context_of(facade: Facade, tick: datetime | None = None) -> Context:
    """Return the context of a turn now, or at a tick, that is not recorded and whose world shows and does nothing."""
    settings = facade.in_force
    cycle = Cycle(
        cycle_id="asked",
        agent=settings.agent.name,
        tick=tick or facade.clock(),
        kind="replay",
        autonomous=is_autonomous(settings, facade.store),
        configuration_hash=settings.hash,
        code_version=VERSION,
        seed=settings.agent.seed,
    )
    actions = configured_actions(settings, discover_actions(settings.folder))
    return Context(facade.store, ReplayWorld(Recording(())), settings, cycle, actions)
