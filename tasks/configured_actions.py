"""What an action is, as configured: resolved here alone; everyone else asks the action."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from handlers import ActionHandler, ActionsByName, elsewhere
from settings import ActionSettings, Settings
from storage import Store
from storage.facts import DURATIONS

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


def actions_in_force(
    settings: Settings, store: Store, registered: Mapping[str, ActionHandler] | None = None
) -> ActionsByName:
    """Return the same, and for how long each works where nobody says and its acts taught that."""
    looks = store.facts.get(DURATIONS) or {}
    actions = configured_actions(settings, registered)
    for name, look in looks.items():
        if name in actions and actions[name].may_be_cut:
            actions[name] = replace(actions[name], duration_s=look.duration_s)
    return actions


def usual_durations_s(store: Store, actions: ActionsByName) -> dict[str, float]:
    """Return how long actions are taken to work of which nobody knows, by name: as long as any that taught it.

    One whose effect was seen to stay is none of them; nor is any where no action taught it.
    """
    looks = store.facts.get(DURATIONS) or {}
    longest_s = max((each.duration_s for each in looks.values() if each.duration_s), default=None)
    if longest_s is None:
        return {}
    unknown = (name for name, action in actions.items() if action.may_be_cut)
    return {name: longest_s for name in unknown if name not in looks or not looks[name].stays}


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
