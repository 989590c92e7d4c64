"""What a source is: something that samples and events can be pulled from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins import modules_of, own_plugins, tell

if TYPE_CHECKING:
    from storage.records import Event, Sample
    from storage.samples import SampleColumns

ENTRY_POINTS = "foreact.sources"

PullHook = Callable[[Mapping[str, Any], "datetime | None", datetime], "Iterable[Sample | SampleColumns | Event]"]


@dataclass(frozen=True)
class SourceHandler:
    """One registered source.

    `pull(options, since, until)` returns what happened after `since` (None: as far back as the source's own
    options say) up to and including `until`. It raises TransientError where trying again may help and
    ForeactError where the options cannot work; what it yielded before that is kept. Very many samples may come as
    columns. `options` says what each key of its configuration means. `split_by` names an option that is a table: each
    entry is pulled, and makes progress, by itself. Where series come up to `late_s` later than others, it is asked
    again for what it had; the new is kept.
    """

    name: str
    summary: str
    pull: PullHook
    interval_s: float = 60.0
    options: Mapping[str, str] = field(default_factory=dict)
    split_by: str = ""
    late_s: float = 0.0

    def parts(self, options: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """Return the options of each part that is pulled by itself, by name: as `prometheus/requests`, or the whole."""
        table = options.get(self.split_by) if self.split_by else None
        if not isinstance(table, Mapping) or not table:
            return {self.name: options}
        return {f"{self.name}/{key}": {**options, self.split_by: {key: entry}} for key, entry in table.items()}


def source(
    *,
    name: str,
    interval_s: float = 60.0,
    summary: str = "",
    options: Mapping[str, str] | None = None,
    split_by: str = "",
    late_s: float = 0.0,
) -> Callable[[PullHook], SourceHandler]:
    """Make a source of a function `pull(options, since, until)`."""

    def decorate(pull: PullHook) -> SourceHandler:
        first_line = (inspect.getdoc(pull) or "").strip().partition("\n")[0]
        return SourceHandler(name, summary or first_line, pull, interval_s, options or {}, split_by, late_s)

    return decorate


def discover_sources(folder: Path | None = None, troubles: list[str] | None = None) -> dict[str, SourceHandler]:
    """Import every module of handlers/sources and return its sources by name; two of one name is a ValueError.

    With them come your own: those of files in `sources/` of the folder, and of installed packages that name them under
    the entry point group `foreact.sources`. One that cannot be used is left out and leaves a sentence in `troubles`.
    """
    handlers: dict[str, SourceHandler] = {}
    for module in modules_of("handlers.sources"):
        for value in vars(module).values():
            if not isinstance(value, SourceHandler) or value.pull.__module__ != module.__name__:
                continue
            if value.name in handlers:
                raise ValueError(f"two sources are called {value.name!r}; the second is in {module.__name__}")
            handlers[value.name] = value
    for where, value in own_plugins(SourceHandler, ENTRY_POINTS, folder and folder / "sources", troubles):
        if value.name in handlers:
            tell(f"{where} is left out: there is another source called {value.name!r}. Rename yours.", troubles)
            continue
        handlers[value.name] = value
    return handlers
