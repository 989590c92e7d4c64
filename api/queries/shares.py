"""How budgets are shared among objectives."""

from __future__ import annotations

from dataclasses import asdict

from api.facade import Facade
from api.models.shares import ObjectiveShares, SharedBudgetView
from storage.facts import BUDGET_SHARES
from tasks.objectives.in_force import objectives_in_force

NONE = "No objective has a `budget` for its parts to share: docs/shared-goals.md says how one gets it."
SOON = "Nothing is shared yet: the next cycle does it."


def shares(facade: Facade) -> ObjectiveShares:
    """Return how the budgets in force were shared at the last turn."""
    owners = {each.name for each in objectives_in_force(facade.in_force, facade.store) if each.budget is not None}
    known = [each for each in facade.store.facts.get(BUDGET_SHARES) or () if each.budget in owners]
    note = None if known else SOON if owners else NONE
    return ObjectiveShares(budgets=[SharedBudgetView.model_validate(asdict(each)) for each in known], note=note)


def about(facade: Facade, objective: str) -> list[SharedBudgetView]:
    """Return the budgets that an objective has, or has a part of."""
    return [
        each
        for each in shares(facade).budgets
        if each.budget == objective or objective in {part.name for part in each.parts}
    ]
