"""Trees of shared budgets: which objectives share the budget of one above them, and what contradicts itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from storage.facts import BudgetShares
from storage.records import Objective, SharedBudget
from tasks.objectives.tree import tree_faults
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
    """The topmost budgets, and by the name of its objective why one is not shared.

    `faults` are what is wrong with whole trees, be there a budget or not, `contradictions` what is with single budgets.
    """

    roots: tuple[BudgetNode, ...] = ()
    troubles: Mapping[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()

    def nodes(self) -> Iterator[BudgetNode]:
        """Yield every budget that is shared, the lowest of each tree first."""
        for root in self.roots:
            yield from root.nodes()

    @property
    def said(self) -> list[str]:
        """Return a sentence for each thing that is wrong."""
        return [*self.faults, *self.contradictions]


def budget_trees(objectives: Iterable[Objective]) -> BudgetTrees:
    """Return the trees of budgets among objectives.

    A part belongs to the nearest budget of a kind above it. Each tree stands alone: one whose parents do not exist or
    go in a circle shares nothing. A budget that no part shares, or of which its parts are to have more than there is,
    is left out, as if its objective had none.
    """
    known = {each.name: each for each in objectives}
    faults = tree_faults(known.values())
    ending = {name: each for name, each in known.items() if name not in faults or not faults[name].is_circle}
    roots, contradictions = _consistent(ending)
    sentences = {name: fault.sentence for name, fault in faults.items()}
    troubles = {
        name: " ".join(said)
        for name, each in known.items()
        if each.budget is not None and (said := [every[name] for every in (sentences, contradictions) if name in every])
    }
    return BudgetTrees(
        tuple(root for root in roots if root.name not in faults),
        troubles,
        tuple(dict.fromkeys(sentences.values())),
        tuple(contradictions.values()),
    )


def unshared(objectives: Mapping[str, Objective], trees: BudgetTrees) -> list[BudgetShares]:
    """Return the budgets of which nothing is shared, each with why."""
    return [
        BudgetShares(name, budget.unit, budget.limit, sentence=trouble, trouble=trouble)
        for name, trouble in trees.troubles.items()
        if (budget := objectives[name].budget) is not None
    ]


def _consistent(known: Mapping[str, Objective]) -> tuple[list[BudgetNode], dict[str, str]]:
    """Return the topmost budgets, and what is wrong with those left out: the lowest first, which may mend one above."""
    left_out: dict[str, str] = {}
    while True:
        troubles: dict[str, str] = {}
        owners = [each for each in known.values() if each.budget is not None]
        roots = [_node(each, known, troubles) for each in owners if _owner_above(each, known, each.budget) is None]
        if not troubles:
            return [root for root in roots if root is not None], left_out
        name = next(iter(troubles))
        left_out[name] = troubles[name]
        known = {**known, name: known[name].model_copy(update={"budget": None})}


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
