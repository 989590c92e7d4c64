"""What can be configured is documented, all of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from handlers import discover_actions, discover_sources
from settings import ActionSettings, Declaration, Settings
from tests import PROJECT

TEXT = (PROJECT / "docs" / "configuration.md").read_text()
TOLD_ELSEWHERE = {"folder", "actions", "sources", "objectives"}


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, f"{prefix}{name}.")
        elif f"{prefix}{name}" not in TOLD_ELSEWHERE and not field.exclude:
            yield f"{prefix}{name}"


@pytest.mark.parametrize("key", list(keys(Settings)))
def test_every_key_is_documented(key: str) -> None:
    assert f"`{key}`" in TEXT


@pytest.mark.parametrize("key", [*ActionSettings.model_fields, *Declaration.model_fields])
def test_every_key_of_an_action_is_documented(key: str) -> None:
    assert f"`{key}`" in TEXT


@pytest.mark.parametrize("name", sorted(discover_actions()))
def test_every_option_of_an_action_is_documented(name: str) -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("|") and f"`{name}`" in line]
    assert [each for each in discover_actions()[name].options if f"`{each}`" not in "".join(rows)] == []


@pytest.mark.parametrize("name", sorted(discover_sources()))
def test_every_option_of_a_source_is_documented(name: str) -> None:
    (row,) = [line for line in TEXT.splitlines() if line.startswith(f"| `{name}`")]
    assert [each for each in discover_sources()[name].options if f"`{each}`" not in row] == []
