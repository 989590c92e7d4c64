"""The loop's own context for a question: what could be done is answered as the loop would, and nothing is done."""

from __future__ import annotations

from collections.abc import Mapping

from api.facade import Facade
from handlers import ActionHandler, discover_actions
from handlers.worlds.replay import Recording, ReplayWorld
from tasks.configured_actions import actions_in_force
from tasks.context import Context, cycle_of


def context_of(facade: Facade, registered: Mapping[str, ActionHandler] | None = None) -> Context:
    """Return the context of a turn now that is not recorded and whose world shows and does nothing.

    Its actions are those found here, or those given, as they are configured.
    """
    settings = facade.in_force
    cycle = cycle_of(settings, facade.store, facade.clock(), "replay", "asked")
    registered = discover_actions(settings.folder) if registered is None else registered
    actions = actions_in_force(settings, facade.store, registered)
    return Context(facade.store, ReplayWorld(Recording()), settings, cycle, actions)
