"""How a budget is shared is told by REST, by the first page and by the page of each objective that has a part of it."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from storage import Store
from storage.facts import BUDGET_SHARES, OBJECTIVES, BudgetShares, ChildShare
from storage.records import Objective, SharedBudget
from tests.api.conftest import API

SHOP = Objective(name="shop", metric="orders", bound=1, budget=SharedBudget(minutes=43.2, days=30))
CHECKOUT = Objective(name="checkout", metric="checkout_latency", bound=200, parent="shop")
SAID = "shop: 43.2 min in 30 days, 12 used, 31.2 left. cart is lost (nothing is heard of it)."
SHARED = BudgetShares(
    "shop",
    "minutes",
    43.2,
    12.0,
    31.2,
    0.004,
    0.0,
    (
        ChildShare("checkout", 20.0, 21.0, 9.0, weight=1.8),
        ChildShare("cart", 0.0, 0.0, 3.0, lost="nothing is heard of it"),
    ),
    SAID,
    cycle_id="cycle-1",
)


@pytest.fixture
def shared(store: Store) -> None:
    for objective in (SHOP, CHECKOUT):
        store.facts.set(OBJECTIVES.of(objective.name), objective)
    store.facts.set(BUDGET_SHARES, (SHARED,))


def test_where_no_objective_has_a_budget_that_is_said_and_no_panel_shown(client: TestClient) -> None:
    answer = client.get(f"{API}/shares").json()
    assert answer["budgets"] == []
    assert "No objective has a `budget`" in answer["note"]
    assert "Budgets that objectives share" not in client.get("/").text


def test_a_budget_that_no_cycle_has_shared_yet_is_announced(client: TestClient, store: Store) -> None:
    for objective in (SHOP, CHECKOUT):
        store.facts.set(OBJECTIVES.of(objective.name), objective)
    assert "the next cycle does it" in client.get(f"{API}/shares").json()["note"]


@pytest.mark.usefixtures("shared")
def test_shares_are_listed_with_price_weight_and_who_is_lost(client: TestClient) -> None:
    (budget,) = client.get(f"{API}/shares").json()["budgets"]
    assert (budget["budget"], budget["left"], budget["price"], budget["cycle_id"]) == ("shop", 31.2, 0.004, "cycle-1")
    assert [(part["name"], part["share"], part["weight"]) for part in budget["parts"]] == [
        ("checkout", 20.0, 1.8),
        ("cart", 0.0, 1.0),
    ]


@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("page", ["/", "/objectives/shop", "/objectives/checkout"])
def test_pages_say_how_it_is_shared(client: TestClient, page: str) -> None:
    text = client.get(page).text
    assert SAID.removeprefix("shop: ") in text


@pytest.mark.usefixtures("shared")
def test_the_page_of_a_part_shows_its_share_and_how_much_its_goals_count(client: TestClient) -> None:
    text = client.get("/objectives/checkout").text
    assert "Its part of the budget of shop" in text
    assert "1.8 times" in text


@pytest.mark.usefixtures("shared")
def test_the_list_of_objectives_says_it_and_what_contradicts_itself_from_the_moment_it_is_set(
    client: TestClient, store: Store
) -> None:
    assert client.get(f"{API}/objectives").json()["shares"] == [SAID]
    greedy = client.put(
        f"{API}/objectives/checkout", json={"metric": "checkout_latency", "bound": 200, "parent": "shop", "least": 50}
    )
    assert greedy.status_code == 200
    (said,) = client.get(f"{API}/objectives").json()["shares"]
    assert "at least 50 together, and its budget is 43.2" in said


@pytest.mark.usefixtures("shared")
def test_a_budget_in_a_circle_of_parents_is_said_everywhere_before_the_next_cycle(
    client: TestClient, store: Store
) -> None:
    store.facts.set(OBJECTIVES.of("shop"), SHOP.model_copy(update={"parent": "checkout"}))
    said = "each other's parents"
    (budget,) = client.get(f"{API}/shares").json()["budgets"]
    assert said in budget["trouble"]
    (told,) = client.get(f"{API}/objectives").json()["shares"]
    assert said in told
    assert sum(said in warning for warning in client.get(f"{API}/status").json()["warnings"]) == 1
    for page in ("/", "/objectives/shop"):
        assert "These are each other" in client.get(page).text


@pytest.mark.parametrize("budget", [{}, {"minutes": 40, "cost": 2}, {"minutes": -1}, {"cost": 2, "per": "fortnight"}])
def test_a_budget_of_no_kind_or_both_is_refused(client: TestClient, budget: dict[str, object]) -> None:
    answer = client.put(f"{API}/objectives/shop", json={"metric": "orders", "bound": 1, "budget": budget})
    assert answer.status_code == 422
    assert "budget" in answer.json()["detail"]
