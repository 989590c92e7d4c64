"""The only code that touches the outside world: sources to read from, actions to take, worlds to do both in."""

from handlers.actions_api import ActionContext, ActionHandler
from handlers.registration import ActionBuilder, action, discover_actions, from_callable
from handlers.results import ActionResult
from handlers.sources_api import SourceHandler, discover_sources, source

__all__ = [
    "ActionBuilder",
    "ActionContext",
    "ActionHandler",
    "ActionResult",
    "SourceHandler",
    "action",
    "discover_actions",
    "discover_sources",
    "from_callable",
    "source",
]
