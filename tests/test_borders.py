"""The borders of the house hold for files that nobody has written yet, and its measures are counted."""

from __future__ import annotations

import ast
import io
import statistics
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests import PROJECT, copy_project, run_in

HOUSES = ("cli", "flows", "api", "tasks", "handlers", "storage", "benchmarks")
MOST_MODULES, MOST_LINES, MEDIAN_LINES = 25, 60, 7

ONE_WAY = "Imports run one way: cli, flows, api, tasks, handlers, storage"
NO_CIRCLE = "No two modules, and no two rooms of a house, import each other"
LOOP = "Stages import in the direction of the loop; what they share lies below them"
INSIDE = "A stage takes from another one only what its __init__ hands on"
PURE = "Decisions are pure: no store, no settings, no Prefect, no clock, but in task.py and the readers named here"

WRONG = {
    "a stage imports the api": ({"tasks/plan/new.py": "import api.facade"}, {ONE_WAY}),
    "the api imports a flow": ({"api/new.py": "import flows.wiring"}, {ONE_WAY}),
    "a flow imports the cli": ({"flows/new.py": "import cli.progress"}, {ONE_WAY}),
    "an earlier stage imports a later one": ({"tasks/monitor/new.py": "import tasks.learn"}, {LOOP}),
    "a decision imports the store": ({"tasks/plan/valuation/new.py": "import storage.store"}, {PURE}),
    "a decision imports settings": ({"tasks/goals/new.py": "import settings"}, {PURE}),
    "a decision imports Prefect": ({"tasks/learn/new.py": "import prefect"}, {PURE}),
    "a decision imports a clock": ({"tasks/measure/inference/new.py": "import time"}, {PURE}),
    "a stage imports the inside of another": ({"tasks/plan/new.py": "import tasks.forecast.batch"}, {INSIDE}),
    "two new files import each other": (
        {"tasks/plan/new.py": "import tasks.plan.newer", "tasks/plan/newer.py": "import tasks.plan.new"},
        {NO_CIRCLE},
    ),
}
"""What a new file must not do, and the contracts that say so."""

SHARED_NAMES = {
    "task": "what Prefect runs of a stage",
    "in_force": "what holds now, read from the store",
    "app": "what is started: the facade, the command line",
    "protocol": "what anything of the kind has to offer",
    "rollout": "how far each action may go, and what more needs",
    "whatif": "what an act would change, asked and told",
    "sequences": "several actions in order, asked and told",
    "results": "what comes out of a run",
    "actions": "acts, planned and done, and their pages",
    "agent": "the agent as a whole",
    "audit": "who decided what, and when",
    "cycle": "one turn of the loop",
    "decisions": "what was chosen for a goal, and why",
    "depth": "what is out of its depth, and asks first",
    "shares": "how a budget is shared among the parts of an objective",
    "shared": "what several foreacts share, as it is shown",
    "shared_budgets": "what several foreacts share: granted, asked for and told",
    "demo": "the loop on a simulated shop",
    "backtest": "recorded history through the loop",
    "forecast": "making forecasts, and how long it takes",
    "forecasts": "forecasts as they are kept, asked for and shown",
    "goals": "goals as they are kept, asked for and shown",
    "history": "what was recorded, and its pages",
    "insights": "what was learned, for people",
    "ingest": "samples and events that come in",
    "late_effects": "what is learned of effects that come late or add up, as it is told",
    "learned": "what was learned, as it is told",
    "objectives": "objectives as they are set and asked for",
    "outcomes": "outcomes as they are kept, asked for and shown",
    "proposals": "what others than the loop propose, as it is taken and shown",
    "proposers": "who proposes, and how far that may go",
    "patterns": "patterns, as they are kept and how well they are found",
    "undo": "taking an act back",
    "planning": "choosing what to do, and how well that is done",
}
"""Names that several modules share, each with its one meaning."""


@dataclass(frozen=True)
class Module:
    """A module that git would know: where it is, and its tree."""

    path: Path
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def is_test(self) -> bool:
        return self.path.parts[0] == "tests"


@cache
def modules() -> tuple[Module, ...]:
    """Return every module of the project."""
    folders = (*HOUSES, "tests", "examples", "docs", ".ci")
    found = (path for folder in folders for path in sorted((PROJECT / folder).rglob("*.py")))
    every = [*found, *sorted(PROJECT.glob("*.py"))]
    return tuple(Module(path.relative_to(PROJECT), path.read_text()) for path in every)


def lengths(module: Module) -> Iterator[tuple[str, int]]:
    """Yield the functions of a module with their lines of code: `def` to end, without docstring, comments and blanks.

    Decorators are not counted either; a function inside another counts in both.
    """
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type not in silent:
            code.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            told = range(first.lineno, (first.end_lineno or 0) + 1) if ast.get_docstring(node) is not None else ()
            lines = code & set(range(node.lineno, (node.end_lineno or 0) + 1)) - set(told)
            yield f"{module.path}:{node.lineno} {node.name}", len(lines)


def public_classes() -> Mapping[str, list[str]]:
    """Return where each public class is defined, by its name."""
    found: dict[str, list[str]] = defaultdict(list)
    for module in modules():
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(str(module.path))
    return found


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(tmp_path_factory.mktemp("copy"))


@pytest.mark.slow
@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_import_in_a_new_file_is_caught(copy: Path, what: str) -> None:
    files, contracts = WRONG[what]
    for name, text in files.items():
        assert not (copy / name).exists()
        (copy / name).write_text(f"{text}\n")
    told = run_in(copy, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())")
    for name in files:
        (copy / name).unlink()
    assert told.returncode == 1, told.stderr
    broken = {
        each for each in (ONE_WAY, NO_CIRCLE, LOOP, INSIDE, PURE) if f"{each} BROKEN" in " ".join(told.stdout.split())
    }
    assert broken == contracts, told.stdout


def test_no_module_name_has_two_meanings() -> None:
    names = Counter(
        module.path.stem.strip("_")
        for module in modules()
        if module.path.parts[0] in HOUSES and module.path.stem not in ("__init__", "__main__")
    )
    twice = {name for name, count in names.items() if count > 1}
    assert twice - set(SHARED_NAMES) == set()
    assert set(SHARED_NAMES) - twice == set()


def test_no_public_class_name_stands_for_two_things() -> None:
    assert {name: where for name, where in public_classes().items() if len(where) > 1} == {}


def test_no_folder_holds_more_modules_than_one_can_take_in() -> None:
    counts = Counter(str(module.path.parent) for module in modules())
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = {name: lines for module in modules() for name, lines in lengths(module) if lines > MOST_LINES}
    assert long == {}


def test_functions_are_short() -> None:
    product = [lines for module in modules() if not module.is_test for _, lines in lengths(module)]
    print(f"median {statistics.median(product)} lines of {len(product)} functions")
    assert statistics.median(product) <= MEDIAN_LINES
