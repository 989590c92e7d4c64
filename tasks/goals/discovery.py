"""Find the rules: every module in `tasks/goals/rules` is one."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from storage.errors import ForeactError
from storage.records import GoalType
from tasks.goals import rules as package
from tasks.goals.evidence import Rule


@cache
def discover_rules() -> tuple[Rule, ...]:
    """Return every rule in `tasks/goals/rules`, by file name.

    Raises ForeactError `goals.bad_rule` for a file that lacks a part of the contract.
    """
    names = sorted(info.name for info in pkgutil.iter_modules(package.__path__))
    return tuple(_rule_of(importlib.import_module(f"{package.__name__}.{name}"), name) for name in names)


def _rule_of(module: ModuleType, name: str) -> Rule:
    missing = [part for part in ("GOAL_TYPE", "propose", "standing") if not hasattr(module, part)]
    if missing or not isinstance(module.GOAL_TYPE, GoalType):
        raise ForeactError(
            "goals.bad_rule",
            f"The rule file {name}.py has no usable {', '.join(missing) or 'GOAL_TYPE'}.",
            "Give it GOAL_TYPE, propose(evidence) and standing(goal, evidence), like the other rules.",
        )
    return Rule(name, module.GOAL_TYPE, module.propose, module.standing)
