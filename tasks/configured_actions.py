"""What an action is, as configured: resolved here alone; everyone else asks the action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from handlers import ActionHandler, ActionsByName, elsewhere
from settings import ActionSettings, Settings

EFFECTS = ("expected_effect", "expected_change")


def configured_actions(settings: Settings, registered: Mapping[str, ActionHandler] | None = None) -> ActionsByName:
    """Return the `registered` actions and all that are configured, with what the configuration says of each.

    For every trait the configuration goes before the action itself. A section that `uses` a registered action is that
    one under a name of its own, set up apart and learned about apart. Done twice it changes nothing more.
    """
    registered = registered or {}
    return ActionsByName(
        {
            name: _configured(_named(name, registered, settings.action(name)), settings.action(name))
            for name in {**registered, **settings.actions}
        }
    )


def declared_actions(settings: Settings) -> dict[str, ActionHandler]:
    """Return the actions that the configuration declares for a world which only knows how to act.

    They may act by themselves unless something else is said; what is said to be irreversible asks first.
    """
    declared = {name: each.declaration for name, each in settings.actions.items() if each.is_declared}
    return {name: elsewhere(name, **_assumed(name, facts) | facts) for name, facts in declared.items()}


def configured_traits(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return what the configuration alone says of each action, by its name."""
    return {name: dict(action.traits) for name, action in settings.actions.items()}


def _named(name: str, registered: Mapping[str, ActionHandler], said: ActionSettings) -> ActionHandler:
    used = registered.get(str(said.options.get("uses")))
    return registered.get(name) or (replace(used, name=name) if used else elsewhere(name))


def _assumed(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {"level": "approve" if facts.get("reversible") is False else "auto", "target": name}


def _configured(action: ActionHandler, said: ActionSettings) -> ActionHandler:
    traits = said.traits
    if traits.keys() & EFFECTS:
        # One that is configured, in either unit, goes before all that the action says of its effects.
        traits = {key: {} for key in EFFECTS} | traits
    values = {**action.option_values, **said.options}
    return replace(action, **traits, configured=frozenset(traits), option_values=values)
