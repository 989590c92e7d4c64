"""What is configured: each key in force, where it comes from, and when a change of it is taken over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from api.facade import READ_ANEW, Facade
from api.models.agent import Configuration, ConfigurationKey
from settings import Settings, origins_of

AT_START = "set when it was started"
_LISTED_ELSEWHERE = frozenset({"objectives"})


def configuration(facade: Facade) -> Configuration:
    """Return every key in force, secrets blotted out."""
    folder = facade.settings.folder
    as_usual = Settings.model_construct(home=(folder or Path()) / Settings.model_fields["home"].default)
    in_force, usual = _shown(facade.in_force), _shown(as_usual)
    origins = origins_of(folder, in_force)
    keys = [
        ConfigurationKey(
            key=".".join(place),
            value=value,
            default=usual.get(place),
            comes_from=origins[place] if origins[place] != "default" or value == usual.get(place) else AT_START,
            is_read_anew=place[0] in READ_ANEW,
        )
        for place, value in in_force.items()
    ]
    return Configuration(folder=str(folder or ""), keys=keys, trouble=facade.trouble)


def _shown(settings: Settings) -> dict[tuple[str, ...], Any]:
    """Return the settings flat, by place, without secrets."""
    return {place: value for place, value in _flat(settings.shown(), ()) if place[0] not in _LISTED_ELSEWHERE}


def _flat(value: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _flat(each, (*place, str(key)))
    else:
        yield place, value
