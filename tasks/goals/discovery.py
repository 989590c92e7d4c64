"""Find the rules: every file in `tasks/goals/rules` is one."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path

from storage.errors import ForeactError
from storage.records import GoalType
from tasks.goals import rules as package
from tasks.goals.evidence import Rule


@cache
def discover_rules() -> tuple[Rule, ...]:
    """Return every rule in `tasks/goals/rules`, by file name.

    Raises ForeactError `goals.bad_rule` for a file that cannot be imported or lacks a part of the contract,
    `goals.duplicate_rule` for two files of one name: a goal names its rule, which must be one.
    """
    files: dict[str, Path] = {}
    for file in sorted(file for folder in package.__path__ for file in Path(folder).glob("[!_]*.py")):
        if file.stem in files:
            raise ForeactError(
                "goals.duplicate_rule",
                f"Two files are the rule {file.stem}: {files[file.stem]} and {file}.",
                "Give one of them another name, or remove it: each goal is judged by the rule that it names.",
            )
        files[file.stem] = file
    return tuple(_rule_of(name, file) for name, file in sorted(files.items()))


def goal_types() -> frozenset[GoalType]:
    """Return the types of goal that the rules set."""
    return frozenset(rule.goal_type for rule in discover_rules())


def _rule_of(name: str, file: Path) -> Rule:
    try:
        module = importlib.import_module(f"{package.__name__}.{name}")
        informs = getattr(module, "INFORMS", False)
        rule = Rule(name, module.GOAL_TYPE, module.propose, module.standing, informs)
    except Exception as trouble:
        raise _bad(file, f"{type(trouble).__name__}: {trouble}") from trouble
    if not isinstance(rule.goal_type, GoalType):
        raise _bad(file, f"its GOAL_TYPE {rule.goal_type!r} is no GoalType")
    return rule


def _bad(file: Path, why: str) -> ForeactError:
    remedy = "Give it GOAL_TYPE, propose(evidence) and standing(goal, evidence), like the other rules."
    return ForeactError("goals.bad_rule", f"The rule file {file} cannot be used: {why}.", remedy)
