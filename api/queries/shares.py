"""How budgets are shared among objectives."""

from __future__ import annotations

from dataclasses import asdict

from api.facade import Facade
from api.models.shares import ObjectiveShares, SharedBudgetView
from storage.facts import BUDGET_SHARES
from tasks.objectives.budget_tree import budget_trees, unshared
from tasks.objectives.in_force import objectives_in_force

NONE = "No objective has a `budget` for its parts to share: docs/shared-goals.md says how one gets it."
SOON = "Nothing is shared yet: the next cycle does it."


def shares(facade: Facade) -> ObjectiveShares:
    """Return how the budgets in force were shared at the last turn, and of which nothing can be as they are now."""
    in_force = {each.name: each for each in objectives_in_force(facade.in_force, facade.store)}
    trees = budget_trees(in_force.values())
    shared = {node.name for node in trees.nodes()}
    told = [each for each in facade.store.facts.get(BUDGET_SHARES) or () if each.budget in shared and not each.trouble]
    known = [*unshared(in_force, trees), *told]
    has_budget = any(each.budget is not None for each in in_force.values())
    note = None if known else SOON if has_budget else NONE
    return ObjectiveShares(budgets=[SharedBudgetView.model_validate(asdict(each)) for each in known], note=note)


def about(facade: Facade, objective: str) -> list[SharedBudgetView]:
    """Return the budgets that an objective has, or has a part of."""
    return [
        each
        for each in shares(facade).budgets
        if each.budget == objective or objective in {part.name for part in each.parts}
    ]
