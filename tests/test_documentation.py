"""What can be configured, asked and added is documented, and all that the documentation names exists."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from api.app import create_app
from docs import draw_rooms, reference
from handlers import discover_actions, discover_sources
from settings import ActionSettings, Declaration, Settings, load_settings
from storage.records import ObjectiveKind
from tasks.forecast.forecasters import names
from tasks.goals import goal_types
from tests import PROJECT

TEXT = (PROJECT / "docs" / "configuration.md").read_text()
TOLD_ELSEWHERE = {"folder", "actions", "sources", "objectives"}
PAGES = [
    *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted((PROJECT / "docs").rglob("*.md")),
]
PACKAGES = "api|benchmarks|cli|docs|examples|flows|handlers|storage|tasks|tests"
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


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


@pytest.mark.parametrize("name", [*sorted(discover_actions()), *(f"{each} (source)" for each in discover_sources())])
def test_every_action_and_source_is_documented(name: str) -> None:
    assert f"\n### {name}\n" in TEXT


@pytest.mark.parametrize("page", reference.PAGES, ids=lambda page: page.name)
def test_the_reference_is_documented_as_the_code_has_it(page: Path) -> None:
    text = page.read_text()
    assert reference.filled(text) == text, "run `python docs/reference.py`"


def test_everything_that_can_be_set_says_what_it_means() -> None:
    tables = [reference.traits([]), reference.objective([]), reference.actions([]), reference.sources([])]
    assert [key for key, _, meaning in reference.keys(Settings) if not meaning] == []
    assert [line for line in "\n".join(tables).splitlines() if line.endswith("|  |")] == []


def test_the_codes_of_refusals_are_found_however_they_are_raised() -> None:
    """As a class, through a helper, from the middleware, by status, with a code by case."""
    raised = {"rate_limit_invalid", "prefect_no_api", "key_needed", "not_found", "json_invalid", "unknown_forecaster"}
    assert raised <= {code for code, *_ in reference.refusals()}


@each_page
def test_every_path_named_in_the_docs_exists(page: Path) -> None:
    named = re.findall(rf"`((?:{PACKAGES})/[\w./-]*)`", page.read_text())
    assert [path for path in named if "NAME" not in path and not (PROJECT / path).exists()] == []


@each_page
def test_every_link_in_the_docs_leads_to_a_file_and_its_heading(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text())
    targets = [(page.parent / path if path else page, anchor) for path, anchor in links]
    assert [
        str(file) for file, anchor in targets if not file.exists() or (anchor and anchor not in anchors(file))
    ] == []


@each_page
def test_every_import_in_the_docs_works(page: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    nodes = [node for block in blocks for node in ast.walk(ast.parse(block)) if isinstance(node, ast.ImportFrom)]
    assert [
        f"{node.module}.{alias.name}"
        for node in nodes
        for alias in node.names
        if not hasattr(importlib.import_module(str(node.module)), alias.name)
    ] == []


def test_every_page_is_in_the_list_of_the_site_or_named_as_left_out() -> None:
    """Without a page in it the site does not build; this says so without building it."""
    head, _, nav = (PROJECT / "mkdocs.yml").read_text().partition("\nnav:\n")
    listed = set(re.findall(r"([\w./-]+\.md)$", nav, re.MULTILINE))
    folders = tuple(re.findall(r"^  (\w+/)$", head.partition("not_in_nav:")[2].partition("\ntheme:")[0], re.MULTILINE))
    pages = {str(page.relative_to(PROJECT / "docs")) for page in (PROJECT / "docs").rglob("*.md")}
    assert folders == ("adr/",)
    assert [page for page in pages - listed if not page.startswith(folders)] == []


def anchors(file: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", names())
def test_every_forecaster_is_documented(name: str) -> None:
    assert f"`{name}" in (PROJECT / "docs" / "forecasting.md").read_text()


@pytest.mark.parametrize("kind", ObjectiveKind)
def test_every_objective_kind_is_documented(kind: str) -> None:
    assert f"| `{kind}` |" in (PROJECT / "docs" / "goals.md").read_text()


@pytest.mark.parametrize("goal_type", sorted(goal_types()))
def test_every_goal_type_is_documented(goal_type: str) -> None:
    assert f" {goal_type} |" in (PROJECT / "docs" / "goals.md").read_text()


def test_every_endpoint_is_documented(tmp_path: Path) -> None:
    text = "".join(page.read_text() for page in PAGES)
    paths = [path.removeprefix("/api/autonomous/") for path in create_app(load_settings(tmp_path)).openapi()["paths"]]
    short = [re.sub(r"\{\w+_id\}", "{id}", path) for path in paths]
    assert [
        path for path in short if not re.search(rf"`([A-Z]+ )?(/api/autonomous/)?{re.escape(path)}[`?]", text)
    ] == []


def test_the_picture_of_the_rooms_shows_them_as_they_are() -> None:
    assert draw_rooms.PICTURE.read_text() == draw_rooms.draw(draw_rooms.look())


def test_the_way_of_a_sample_has_ten_steps_and_the_glossary_twenty_words() -> None:
    text = draw_rooms.PAGE.read_text()
    assert len(draw_rooms.steps()) == 10
    assert all(draw_rooms.steps())
    glossary = text.partition("## Twenty words")[2].partition("## ")[0]
    assert len(re.findall(r"^\| \w", glossary, flags=re.MULTILINE)) == 1 + 20


def test_the_automation_in_the_docs_is_one_that_prefect_takes() -> None:
    import yaml
    from prefect.events.schemas.automations import AutomationCore

    (shown,) = re.findall(r"```yaml\n(.*?)```", (PROJECT / "docs" / "prefect.md").read_text(), re.DOTALL)
    automation = AutomationCore.model_validate(yaml.safe_load(shown))
    events = set(getattr(automation.trigger, "expect", ()))
    emitted = (PROJECT / "flows" / "run_record.py").read_text()
    assert events
    assert all(f'"{event}"' in emitted for event in events)
