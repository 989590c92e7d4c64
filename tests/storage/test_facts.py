"""Facts are declared once, rows written before still read, and what is said of who writes and reads them is so."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from storage import Store, facts, open_store
from storage.facts import Drill, EarnedLevel, Fact, Family, LongSearch, Switch
from storage.records import Autonomy
from tests import PROJECT

DECLARED: dict[str, Fact[Any] | Family[Any]] = {
    name: each for name, each in vars(facts).items() if isinstance(each, Fact | Family)
}
ROOMS = ("api", "cli", "flows", "handlers", "storage", "tasks")
OWN = PROJECT / "storage" / "facts.py"
VERBS = {"get": "read", "matching": "read", "set": "written"}
WORDS = {"backtest", "insights"}
"""Names that are words as well, and said of other things."""

Uses = dict[str, dict[str, set[str]]]


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(file for room in ROOMS for file in (PROJECT / room).rglob("*.py")):
        if path != OWN:
            yield path, ast.parse(path.read_text())


def is_table(node: ast.expr) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == "facts") or (
        isinstance(node, ast.Name) and node.id == "facts"
    )


def imported(tree: ast.Module) -> set[str]:
    """Return the declarations that a module imports."""
    imports = (each for each in ast.walk(tree) if isinstance(each, ast.ImportFrom) and each.module == "storage.facts")
    return {alias.name for each in imports for alias in each.names} & set(DECLARED)


def name_of(node: ast.expr) -> str | None:
    """Return the name that an argument is, or of whose family it is a fact."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "of":
        node = node.func.value
    return node.id if isinstance(node, ast.Name) else None


@cache
def uses() -> Uses:
    """Return, by declaration, the modules that read and write it; who hands it on may do both."""
    found: Uses = defaultdict(lambda: {"read": set(), "written": set()})
    for path, tree in trees():
        module, known = ".".join(path.relative_to(PROJECT).with_suffix("").parts), imported(tree)
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            function = call.func
            is_own = isinstance(function, ast.Attribute) and function.attr in VERBS and is_table(function.value)
            verbs = {VERBS[function.attr]} if is_own and isinstance(function, ast.Attribute) else set(VERBS.values())
            for name in known.intersection(map(name_of, call.args)):
                for verb in verbs:
                    found[name][verb].add(module)
    return found


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_a_fact_is_written_and_read_by_those_that_it_names_and_by_no_others(name: str) -> None:
    used, told = uses()[name], DECLARED[name]
    assert (tuple(sorted(used["written"])), tuple(sorted(used["read"]))) == (told.written_by, told.read_by)


def test_a_fact_that_nobody_writes_or_nobody_reads_is_not_declared() -> None:
    assert [name for name, each in DECLARED.items() if not (each.written_by and each.read_by)] == []


def test_no_two_declarations_share_a_row() -> None:
    names = sorted(each.name for each in DECLARED.values())
    families = [each.name for each in DECLARED.values() if isinstance(each, Family)]
    assert len(set(names)) == len(names)
    assert [n for n in names for start in families if n.startswith(start) and n != start] == []


def test_no_module_names_a_fact_by_a_string() -> None:
    names = {each.name for each in DECLARED.values()} - WORDS
    said = [
        f"{path.relative_to(PROJECT)}:{node.lineno} {node.value!r}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value in names or re.search(r"\b(FROM|INTO|UPDATE) facts\b", node.value)
    ]
    assert said == []


def test_the_documentation_lists_every_fact_with_who_writes_and_who_reads_it() -> None:
    lines = ["| Fact | What it holds | Written by | Read by |", "| --- | --- | --- | --- |"]
    for each in DECLARED.values():
        name = f"{each.name}…" if isinstance(each, Family) else each.name
        writers, readers = (", ".join(f"`{module}`" for module in those) for those in (each.written_by, each.read_by))
        lines.append(f"| `{name}` | {each.holds} | {writers} | {readers} |")
    shown = [line for line in (PROJECT / "docs" / "facts.md").read_text().splitlines() if line.startswith("|")]
    assert shown == lines


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store() as made:
        yield made


@pytest.mark.parametrize(
    ("fact", "text", "value"),
    [
        (facts.MODE, '{"autonomous": true, "configured": false}', Switch(True, False)),
        (
            facts.EARNED_LEVELS.of("COST_REDUCTION:x"),
            '{"level": "auto", "configured": null}',
            EarnedLevel(Autonomy.AUTO, None),
        ),
        (facts.SOURCES.of("host"), '"2026-03-02T00:00:00+00:00"', datetime(2026, 3, 2, tzinfo=UTC)),
        (facts.SEARCHED, '["cycle-1", 1772409600.0, "search-1"]', LongSearch("cycle-1", 1_772_409_600.0, {})),
        (
            facts.DRILLS.of("x"),
            '{"action": "x", "at": "now", "finding": "passed", "detail": "d", "act_s": 0.5, "undo_s": 0.0}',
            Drill("x", "now", "passed", "d", 0.5),
        ),
        (facts.OBJECTIVES.of("load"), "null", None),
        (facts.WAITS, '{"action-1": "It cools down."}', {"action-1": facts.Wait("It cools down.")}),
        (facts.KILL_SWITCH, "false", False),
    ],
)
def test_a_row_of_an_older_release_is_read(store: Store, fact: Fact[Any], text: str, value: Any) -> None:
    row = {"name": fact.name, "text": text}
    store.engine.rows("INSERT INTO facts VALUES (1, $name, now(), 'loop', $text)", row)
    assert store.facts.get(fact) == value
    store.facts.set(fact, value)
    assert store.facts.get(fact) == value
