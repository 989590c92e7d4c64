"""What a source is: something that samples and events can be pulled from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from plugins import modules_of

if TYPE_CHECKING:
    from storage.records import Event, Sample

PullHook = Callable[[Mapping[str, Any], "datetime | None", datetime], "Iterable[Sample | Event]"]


@dataclass(frozen=True)
class SourceHandler:
    """One registered source.

    `pull(options, since, until)` returns what happened after `since` (None: as far back as the source's own
    options say) up to and including `until`. It raises TransientError where trying again may help and
    ForeactError where the options cannot work. `options` says what each key of its configuration means.
    """

    name: str
    summary: str
    pull: PullHook
    interval_s: float = 60.0
    options: Mapping[str, str] = field(default_factory=dict)


def source(
    *, name: str, interval_s: float = 60.0, summary: str = "", options: Mapping[str, str] | None = None
) -> Callable[[PullHook], SourceHandler]:
    """Make a source of a function `pull(options, since, until)`."""

    def decorate(pull: PullHook) -> SourceHandler:
        first_line = (inspect.getdoc(pull) or "").strip().partition("\n")[0]
        return SourceHandler(name, summary or first_line, pull, interval_s, options or {})

    return decorate


def discover_sources() -> dict[str, SourceHandler]:
    """Import every module of handlers/sources and return its sources by name; two of one name is a ValueError."""
    handlers: dict[str, SourceHandler] = {}
    for module in modules_of("handlers.sources"):
        for value in vars(module).values():
            if not isinstance(value, SourceHandler) or value.pull.__module__ != module.__name__:
                continue
            if value.name in handlers:
                raise ValueError(f"two sources are called {value.name!r}; the second is in {module.__name__}")
            handlers[value.name] = value
    return handlers
