"""Each tree of objectives stands alone: what is wrong with one is said, and the budgets of the others are shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from settings import load_settings
from storage import open_store
from storage.records import Objective, SharedBudget
from tasks.objectives.budget_tree import BudgetTrees, budget_trees
from tasks.objectives.in_force import said_of_trees


def part(name: str, parent: str | None = None, **more: Any) -> Objective:
    return Objective(name=name, metric=name, bound=1, parent=parent, **more)


def owner(name: str, minutes: float, parent: str | None = None, **more: Any) -> Objective:
    return part(name, parent, budget=SharedBudget(minutes=minutes, days=30), **more)


def shared(trees: BudgetTrees) -> dict[str, list[str]]:
    return {node.name: sorted(leaf.name for leaf in node.under()) for node in trees.nodes()}


SHOP = (owner("shop", 60), part("checkout", "shop"))


def test_a_budget_whose_own_parent_does_not_exist_is_not_shared_and_another_is() -> None:
    trees = budget_trees([*SHOP, owner("bank", 60, "nobody"), part("cards", "bank")])
    assert shared(trees) == {"shop": ["checkout"]}
    (said,) = trees.said
    assert said.startswith("The objective bank names the parent 'nobody', which does not exist")


def test_a_part_whose_parent_does_not_exist_is_said_and_stops_no_budget() -> None:
    trees = budget_trees([*SHOP, part("search", "shp"), part("deep", "search")])
    assert shared(trees) == {"shop": ["checkout"]}
    (said,) = trees.said
    assert "search names the parent 'shp'" in said


def test_an_orphan_hides_no_other_contradiction_not_even_of_its_own_tree() -> None:
    greedy = [owner("bank", 60), part("cards", "bank", least=50), part("loans", "bank", least=50)]
    said = budget_trees([*SHOP, part("search", "shp"), *greedy]).said
    assert [each for each in said if "at least 100 together" in each and "bank" in each]
    assert len(said) == 2
    own = [greedy[0].model_copy(update={"parent": "nobody"}), *greedy[1:]]
    trees = budget_trees([*SHOP, *own])
    assert shared(trees) == {"shop": ["checkout"]}
    assert "does not exist" in " ".join(trees.said)
    assert "at least 100 together" in " ".join(trees.said)


def test_parents_in_a_circle_stop_the_budgets_among_and_below_them_alone() -> None:
    circle = [owner("a", 60, "b"), part("b", "a"), owner("below", 60, "b"), part("leaf", "below")]
    trees = budget_trees([*SHOP, *circle])
    assert shared(trees) == {"shop": ["checkout"]}
    assert set(trees.troubles) == {"a", "below"}
    (said,) = trees.said
    assert "each other's parents: a → b → a" in said


def test_a_budget_below_one_that_contradicts_itself_is_shared_as_if_that_had_none() -> None:
    above = [owner("all", 60), part("other", "all", least=70)]
    trees = budget_trees([*above, owner("shop", 50, "all"), part("checkout", "shop")])
    assert shared(trees) == {"shop": ["checkout"]}
    assert set(trees.troubles) == {"all"}


def test_parts_of_a_budget_that_contradicts_itself_share_the_one_above_it() -> None:
    greedy = [owner("front", 10, "all"), part("checkout", "front", least=20), part("search", "front")]
    trees = budget_trees([owner("all", 60), part("other", "all"), *greedy])
    assert shared(trees) == {"all": ["checkout", "other", "search"]}
    assert set(trees.troubles) == {"front"}


CIRCLE = """
use_default_objectives = false
[[objectives]]
name = "shop"
metric = "orders"
bound = 1
parent = "checkout"
budget = { minutes = 43.2, days = 30 }
[[objectives]]
name = "checkout"
metric = "checkout_latency"
bound = 300
parent = "shop"
"""


def test_parents_in_a_circle_in_the_file_are_said_and_the_file_is_in_force(tmp_path: Path) -> None:
    (tmp_path / "foreact.toml").write_text(CIRCLE)
    settings = load_settings(tmp_path, home=tmp_path)
    assert [each.name for each in settings.objectives] == ["shop", "checkout"]
    with open_store(":memory:") as store:
        (said,) = said_of_trees(settings, store)
    assert "each other's parents: shop → checkout → shop" in said


def test_where_objectives_form_trees_nothing_is_said(tmp_path: Path) -> None:
    with open_store(":memory:") as store:
        assert said_of_trees(load_settings(tmp_path, home=tmp_path), store) == []
