"""What can be configured, asked and added is documented, all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from api.app import create_app
from docs import draw_rooms
from handlers import discover_actions, discover_sources
from settings import ActionSettings, Declaration, Settings, load_settings
from storage.records import ObjectiveKind
from tasks.forecast.forecasters import names
from tests import PROJECT

TEXT = (PROJECT / "docs" / "configuration.md").read_text()
PAGES = [path.relative_to(PROJECT) for path in (PROJECT / "README.md", *sorted(PROJECT.glob("docs/*.md")))]
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


@pytest.mark.parametrize("name", names())
def test_every_forecaster_is_documented(name: str) -> None:
    assert f"`{name}" in (PROJECT / "docs" / "forecasting.md").read_text()


@pytest.mark.parametrize("kind", ObjectiveKind)
def test_every_objective_kind_is_documented(kind: str) -> None:
    assert f"| `{kind}` |" in (PROJECT / "docs" / "goals.md").read_text()


def test_every_endpoint_is_documented(tmp_path: Path) -> None:
    text = (PROJECT / "README.md").read_text()
    paths = [path.removeprefix("/api/autonomous/") for path in create_app(load_settings(tmp_path)).openapi()["paths"]]
    short = [re.sub(r"\{\w+_id\}", "{id}", path) for path in paths]
    assert [
        path for path in short if not re.search(rf"`([A-Z]+ )?(/api/autonomous/)?{re.escape(path)}[`?]", text)
    ] == []


def test_the_picture_of_the_rooms_shows_them_as_they_are() -> None:
    assert draw_rooms.PICTURE.read_text() == draw_rooms.draw(draw_rooms.look())


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_names_files_that_exist(page: Path) -> None:
    every = [str(path.relative_to(PROJECT)) for path in PROJECT.rglob("*.py") if ".venv" not in path.parts]
    named = re.findall(r"`([\w/]+\.py)`", (PROJECT / page).read_text())
    missing = [name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in every)]
    assert [name for name in missing if "NAME" not in name] == []


def test_the_way_of_a_sample_has_ten_steps_and_the_glossary_twenty_words() -> None:
    text = draw_rooms.PAGE.read_text()
    assert len(draw_rooms.steps()) == 10
    assert all(draw_rooms.steps())
    glossary = text.partition("## Twenty words")[2].partition("## ")[0]
    assert len(re.findall(r"^\| \w", glossary, flags=re.MULTILINE)) == 1 + 20
