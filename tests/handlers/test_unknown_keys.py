"""A typing error in the configuration of an action or source is found, and what was meant is named."""

from __future__ import annotations

from typing import Any

import pytest

from handlers import discover_actions, discover_sources
from handlers.unknown_keys import unread

KNOWN, KNOWN_SOURCES = discover_actions(), discover_sources()


def said(actions: dict[str, Any] | None = None, sources: dict[str, Any] | None = None) -> list[str]:
    return list(unread(actions or {}, sources or {}, KNOWN, KNOWN_SOURCES))


@pytest.mark.parametrize(
    ("actions", "sentence"),
    [
        (
            {"renise_process": {}},
            "[actions.renise_process] names no registered action; did you mean renice",
        ),
        ({"renice_process": {"allow_name": ["x"]}}, "allow_name is an unknown option; did you mean allow_names?"),
        ({"prune_directory": {"directories": []}}, "directories is an unknown option; known: delete, max_files"),
    ],
)
def test_an_action_or_option_that_nobody_reads_is_named(actions: dict[str, Any], sentence: str) -> None:
    (only,) = said(actions)
    assert sentence in only


def test_a_source_that_there_is_not_is_named() -> None:
    (only,) = said(sources={"prometeus": {}})
    assert "did you mean prometheus?" in only


def test_what_handlers_read_is_left_alone() -> None:
    assert said({name: dict(each.options) for name, each in KNOWN.items()}) == []
    assert said(sources={name: dict(each.options) for name, each in KNOWN_SOURCES.items()}) == []
