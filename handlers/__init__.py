"""The only code that touches the outside world: sources to read from, actions to take, worlds to do both in."""

from handlers.contract.action import ActionContext, ActionHandler, ActionsByName, elsewhere
from handlers.contract.registration import ActionBuilder, action, discover_actions, from_callable
from handlers.contract.results import ActionResult
from handlers.contract.source import SourceHandler, discover_sources, source

__all__ = [
    "ActionBuilder",
    "ActionContext",
    "ActionHandler",
    "ActionResult",
    "ActionsByName",
    "SourceHandler",
    "action",
    "discover_actions",
    "discover_sources",
    "elsewhere",
    "from_callable",
    "source",
]
