"""What a configuration says of actions and sources that nobody will ever read: most likely a typing error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from handlers.contract.action import ActionHandler
from handlers.contract.source import SourceHandler

Options = Mapping[str, Mapping[str, Any]]


def unread(
    actions: Options,
    sources: Options,
    handlers: Mapping[str, ActionHandler],
    known_sources: Mapping[str, SourceHandler],
) -> Iterator[str]:
    """Yield a sentence for each name and option that no handler knows.

    `actions` and `sources` hold the options by name that are a handler's own to read. An action that nobody registered
    may still be registered by a notebook; its options are then the notebook's business. One that `uses` another action
    has the options of that.
    """
    for name, options in actions.items():
        used = str(options.get("uses", "")) if name not in handlers else name
        if used in handlers:
            yield from _options(f"actions.{name}", options, {**handlers[used].options, "uses": ""})
        elif used:
            yield f"[actions.{name}] uses {used}, which is no registered action{_meant(used, handlers)}"
        else:
            yield f"[actions.{name}] names no registered action{_meant(name, handlers)}"
    for name, options in sources.items():
        if name in known_sources:
            yield from _options(f"sources.{name}", options, known_sources[name].options)
        else:
            yield f"[sources.{name}] names no source{_meant(name, known_sources)}"


def _options(where: str, given: Mapping[str, Any], documented: Mapping[str, str]) -> Iterator[str]:
    for option in given:
        if option not in documented:
            yield f"[{where}] {option} is an unknown option{_meant(option, documented)}"


def _meant(word: str, words: Iterable[str]) -> str:
    names = sorted(words)
    near = get_close_matches(word, names, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; known: {', '.join(names)}." if names else "."
