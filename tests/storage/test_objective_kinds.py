"""What follows from the kind of an objective is said by the kind itself, and nowhere else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from storage import records
from storage.records import ObjectiveKind

ROOT = Path(records.__file__).parents[1]
ROOMS = ("api", "benchmarks", "cli", "flows", "handlers", "storage", "tasks")
KINDS_WITH = {
    "bounds_each_value": {"bound"},
    "has_breach_forecast": {"bound", "capacity", "slo"},
    "limits_values": {"bound", "percentile", "capacity", "slo"},
    "is_drawn_as_line": {"bound", "headroom", "percentile", "capacity"},
    "needs_hourly_history": {"headroom", "percentile", "capacity", "budget", "slo"},
    "has_target_ratio": {"percentile", "slo"},
    "counts_over_window": {"budget", "slo"},
    "has_error_budget": {"slo"},
    "judges_runs": {"deadline"},
}


def named_together(code: str) -> list[int]:
    """Return the lines at which several kinds stand in one collection, one pattern, or one chain of comparisons."""
    return [node.lineno for node in ast.walk(ast.parse(code)) if sum(map(_is_kind, _members(node))) > 1]


def _members(node: ast.AST) -> list[ast.AST]:
    match node:
        case ast.Tuple() | ast.List() | ast.Set():
            return list(node.elts)
        case ast.Dict():
            return [key for key in node.keys if key is not None]
        case ast.MatchOr():
            return [each.value for each in node.patterns if isinstance(each, ast.MatchValue)]
        case ast.BoolOp():
            return [side for each in node.values if isinstance(each, ast.Compare) for side in each.comparators]
    return []


def _is_kind(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ObjectiveKind"


@pytest.mark.parametrize("meaning", KINDS_WITH)
def test_each_property_holds_for_these_kinds(meaning: str) -> None:
    assert {kind.value for kind in ObjectiveKind if getattr(kind, meaning)} == KINDS_WITH[meaning]


def test_every_property_of_a_kind_is_stated_here() -> None:
    assert {name for name, value in vars(ObjectiveKind).items() if isinstance(value, property)} == set(KINDS_WITH)


@pytest.mark.parametrize(
    "code",
    [
        "A = (ObjectiveKind.BOUND, ObjectiveKind.SLO)",
        "A = frozenset({ObjectiveKind.BOUND, ObjectiveKind.SLO})",
        "A = {ObjectiveKind.BOUND: 1, ObjectiveKind.SLO: 2}",
        "A = kind is ObjectiveKind.BOUND or kind == ObjectiveKind.SLO",
        "match kind:\n    case ObjectiveKind.BOUND | ObjectiveKind.SLO:\n        pass",
    ],
)
def test_kinds_that_are_named_together_are_seen(code: str) -> None:
    assert named_together(code)


def test_no_module_but_the_records_names_several_kinds_together() -> None:
    files = [file for room in ROOMS for file in (ROOT / room).rglob("*.py") if file != Path(records.__file__)]
    assert len(files) > 200
    assert [f"{file}:{line}" for file in files for line in named_together(file.read_text())] == []
