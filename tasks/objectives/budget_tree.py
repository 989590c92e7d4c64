"""Trees of shared budgets: which objectives share the budget of one above them, and what contradicts itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from storage.errors import ForeactError
from storage.records import Objective, SharedBudget
from tasks.objectives.tree import refuse_unknown_parents
from tasks.text import number


@dataclass(frozen=True)
class BudgetNode:
    """A budget and what shares it: `leaves` are objectives without parts, `below` budgets of the same kind."""

    objective: Objective
    budget: SharedBudget
    leaves: tuple[Objective, ...]
    below: tuple[BudgetNode, ...]

    @property
    def name(self) -> str:
        """Return the name of the objective whose budget it is."""
        return self.objective.name

    def under(self) -> Iterator[Objective]:
        """Yield every objective without parts below it, at any depth."""
        yield from self.leaves
        for node in self.below:
            yield from node.under()

    def nodes(self) -> Iterator[BudgetNode]:
        """Yield it and every budget below it, the lowest first."""
        for node in self.below:
            yield from node.nodes()
        yield self


@dataclass(frozen=True)
class BudgetTrees:
    """The topmost budgets, and by the name of its objective why one is not shared."""

    roots: tuple[BudgetNode, ...] = ()
    troubles: Mapping[str, str] | None = None

    def nodes(self) -> Iterator[BudgetNode]:
        """Yield every budget that is shared, the lowest of each tree first."""
        for root in self.roots:
            yield from root.nodes()


def budget_trees(objectives: Iterable[Objective]) -> BudgetTrees:
    """Return the trees of budgets among objectives.

    A part belongs to the nearest budget of a kind above it. Objectives that do not form trees share nothing; nor does
    a budget that no part shares, or of which its parts are to have more than there is.
    """
    known = {each.name: each for each in objectives}
    owners = [each for each in known.values() if each.budget is not None]
    if not owners:
        return BudgetTrees()
    try:
        refuse_unknown_parents(known.values())
    except ForeactError as refusal:
        return BudgetTrees(troubles={each.name: f"{refusal.message} Until then, nothing is shared." for each in owners})
    troubles: dict[str, str] = {}
    roots = [_node(each, known, troubles) for each in owners if _owner_above(each, known, each.budget) is None]
    return BudgetTrees(tuple(node for node in roots if node is not None), troubles)


def _node(objective: Objective, known: Mapping[str, Objective], troubles: dict[str, str]) -> BudgetNode | None:
    budget = objective.budget
    if budget is None:
        return None
    parts = [each for each in known.values() if _owner_above(each, known, budget) is objective]
    owners = [each for each in parts if each.budget is not None and each.budget.is_of_minutes == budget.is_of_minutes]
    parents = {each.parent for each in known.values()}
    is_counted = (lambda each: each.kind.limits_values) if budget.is_of_minutes else (lambda each: True)
    leaves = tuple(each for each in parts if each.name not in parents and is_counted(each))
    below = [node for each in owners if (node := _node(each, known, troubles)) is not None]
    least = sum(each.least for each in parts if each in leaves or each in owners)
    if not leaves and not below:
        troubles[objective.name] = f"No objective shares the budget of {objective.name}: name it as their `parent`."
    elif least > budget.limit:
        troubles[objective.name] = (
            f"The parts of {objective.name} are to have at least {number(least)} together, and its budget is "
            f"{number(budget.limit)}: nothing of it is shared until `least` or `budget` is changed."
        )
    else:
        return BudgetNode(objective, budget, leaves, tuple(below))
    return None


def _owner_above(objective: Objective, known: Mapping[str, Objective], budget: SharedBudget | None) -> Objective | None:
    """Return the nearest objective above one that has a budget of the same kind as a given one."""
    above = known.get(objective.parent or "")
    while above is not None and budget is not None:
        if above.budget is not None and above.budget.is_of_minutes == budget.is_of_minutes:
            return above
        above = known.get(above.parent or "")
    return None
