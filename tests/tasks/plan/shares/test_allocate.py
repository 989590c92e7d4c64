"""A budget is shared down its tree by what a unit is worth to each part, and the plan goes by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.shared_goals.trees import Tree, as_shipped, optimum, tree_of
from storage.facts import BudgetShares
from storage.records import Candidate, Objective, SharedBudget
from tasks.drivers.amount_steps import Move
from tasks.drivers.settable_amounts import AmountStep
from tasks.plan import PlanProblem, make_plans
from tasks.plan.problem import Commitment
from tasks.plan.shares.allocate import with_shares
from tests.tasks.plan.worlds import TICK, KnownEffects, goal_of, problem_of, safe

HORIZON_S = 3_600.0
BROKEN_MIN = 30.0


def part(name: str, parent: str = "shop", **more: Any) -> Objective:
    return Objective(name=name, metric=name, bound=90, severity=0.3, horizon_s=HORIZON_S, parent=parent, **more)


def owner(minutes: float, name: str = "shop", **more: Any) -> Objective:
    fields: dict[str, Any] = {"severity": 0.9, "horizon_s": HORIZON_S} | more
    return Objective(name=name, metric=name, bound=1, budget=SharedBudget(minutes=minutes, days=30), **fields)


def shop(
    minutes: float, costs: dict[str, float], *, owned: Objective | None = None, parts: Any = None, **more: Any
) -> PlanProblem:
    """Services that will all be broken for half of the hour; one act each ends nearly all of that, at a cost."""
    broken = np.where(np.arange(60) < BROKEN_MIN, 100.0, 80.0)[None, :].repeat(20, axis=0)
    fields: dict[str, Any] = {
        "objectives": {
            each.name: each for each in [*(parts or [part(name) for name in costs]), owned or owner(minutes)]
        },
        "paths": dict.fromkeys(costs, broken),
        "traits": {f"mend-{name}": safe(f"mend-{name}") for name in costs},
        "n_slots": 4,
        "max_concurrent_goals": 9,
    }
    return problem_of(
        [goal_of(name, series=name, severity=0.3) for name in costs],
        {name: [Candidate(action=f"mend-{name}", target=name, cost=cost)] for name, cost in costs.items()},
        KnownEffects({f"mend-{name}": 2.5 for name in costs}),
        **(fields | more),
    )


def acts(problem: PlanProblem) -> set[str]:
    return {action.goal_id for action in make_plans(with_shares(problem)).actions}


def shares_of(problem: PlanProblem, name: str = "shop") -> BudgetShares:
    return next(each for each in with_shares(problem).shares if each.budget == name)


DEAR = {"checkout": 0.2, "search": 0.3, "cart": 0.4}
"""None of these acts pays by itself: a half of the hour at severity .3 is a loss of .11."""


def test_without_a_budget_the_problem_is_the_same_object() -> None:
    problem = shop(60, DEAR)
    bare = replace(problem, objectives={name: part(name, "") for name in DEAR})
    assert with_shares(bare) is bare


def test_a_budget_that_covers_what_is_foreseen_changes_no_plan() -> None:
    problem = shop(100, DEAR)
    shared = with_shares(problem)
    assert shared.weights == {}
    assert make_plans(shared) == make_plans(problem)
    assert "covers what is foreseen" in shares_of(problem).sentence


def test_where_minutes_run_short_the_cheapest_act_is_done_although_it_would_not_pay_alone() -> None:
    assert acts(shop(100, DEAR)) == set()
    assert acts(shop(70, DEAR)) == {"checkout"}
    assert acts(shop(40, DEAR)) == {"checkout", "search"}


def test_the_part_whose_minutes_are_dearest_to_save_gets_what_is_left() -> None:
    shares = shares_of(shop(40, DEAR))
    got = {each.name: each.share for each in shares.parts}
    assert got["cart"] == pytest.approx(BROKEN_MIN)
    assert max(got["checkout"], got["search"]) < 5
    assert sum(got.values()) <= shares.left
    assert "a minute of cart is dearest to save" in shares.sentence


def test_what_was_broken_in_the_window_is_taken_off() -> None:
    used = {("shop", "checkout"): 20.0, ("shop", "search"): 12.0}
    shares = shares_of(shop(72, DEAR, used_minutes=used))
    assert (shares.used, shares.left) == (32.0, 40.0)
    assert acts(shop(72, DEAR, used_minutes=used)) == {"checkout", "search"}


def test_a_part_that_nothing_can_help_is_lost_and_the_others_are_kept_the_harder() -> None:
    whole = shop(70, DEAR)
    lost = replace(whole, candidates={name: offers for name, offers in whole.candidates.items() if name != "checkout"})
    assert acts(lost) == {"search"}
    shares = shares_of(lost)
    assert "checkout is lost (no action is left for it): 30 min are set aside" in shares.sentence
    assert shares.price > shares_of(whole).price


def test_a_part_for_which_something_was_just_done_is_not_lost_while_nothing_more_may_be_tried() -> None:
    begun = Commitment("a1", "checkout", "mend-checkout", "checkout", TICK, TICK + timedelta(minutes=10), "checkout")
    shares = shares_of(shop(70, DEAR, commitments=(replace(begun, is_started=True),)))
    assert [each.lost for each in shares.parts] == ["", "", ""]


def test_the_minutes_of_a_part_whose_goal_was_given_up_are_set_aside() -> None:
    whole = shop(70, DEAR)
    left = replace(whole, goals=tuple(view for view in whole.goals if view.goal.objective != "cart"))
    shares = shares_of(replace(left, given_up=frozenset({"cart"})))
    assert next(each for each in shares.parts if each.name == "cart").lost == "its goal was given up"
    assert "cart is lost (its goal was given up): 30 min" in shares.sentence


def test_a_part_of_which_nothing_is_heard_leaves_its_share_to_the_others() -> None:
    shares = shares_of(shop(70, DEAR, silent=frozenset({"cart"})))
    assert {each.name: each.share for each in shares.parts}["cart"] == 0
    assert "cart is lost (nothing is heard of it): its share goes to the others." in shares.sentence
    assert acts(shop(70, DEAR, silent=frozenset({"cart"}))) == set()


def test_an_act_dearer_than_all_that_the_budget_is_worth_is_left_undone_unless_the_budget_is_hard() -> None:
    costs = {"checkout": 0.2, "search": 5.0}
    assert acts(shop(1, costs)) == {"checkout"}
    assert acts(shop(1, costs, owned=owner(1, hard=True))) == {"checkout", "search"}
    assert shares_of(shop(1, costs)).over > 25
    assert "min more will be broken than are left" in shares_of(shop(1, costs)).sentence


def test_what_is_set_aside_for_a_part_no_other_gets() -> None:
    parts = [part("checkout"), part("search"), part("cart", least=25.0)]
    shares = shares_of(shop(60, DEAR, parts=parts))
    got = {each.name: each.share for each in shares.parts}
    assert got["cart"] >= 25
    assert acts(shop(60, {"checkout": 0.2, "search": 0.3, "cart": 0.0}, parts=parts)) >= {"checkout", "cart"}


def test_a_budget_below_another_keeps_both() -> None:
    parts = [part("checkout", "front"), part("search", "front"), part("cart")]
    front = owner(35, "front", parent="shop")
    problem = shop(200, DEAR, parts=[*parts, front])
    assert acts(problem) == {"checkout"}
    assert shares_of(problem).price == 0
    assert shares_of(problem, "front").price > 0
    tight = shop(40, DEAR, parts=[*parts, owner(50, "front", parent="shop")])
    assert acts(tight) == {"checkout", "search"}


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([part("checkout", least=40), part("search", least=40), part("cart")], "at least 80 together"),
        ([part("checkout", ""), part("search", ""), part("cart", "")], "No objective shares the budget of shop"),
    ],
)
def test_what_contradicts_itself_is_said_and_the_plan_is_as_without_a_budget(parts: list[Objective], says: str) -> None:
    parts = [each.model_copy(update={"parent": each.parent or None}) for each in parts]
    problem = shop(70, {"checkout": 0.0, "search": 0.3, "cart": 0.4}, parts=parts)
    bare = replace(problem, objectives={each.name: each for each in parts})
    shared = with_shares(problem)
    assert says in shared.shares[0].trouble
    assert (shared.weights, shared.cost_rooms) == ({}, ())
    assert make_plans(shared) == make_plans(bare)


@pytest.mark.parametrize(("parent", "says"), [("nobody", "which does not exist"), ("search", "each other's parents")])
def test_a_budget_whose_own_parents_are_wrong_is_said_and_the_plan_is_as_without_it(parent: str, says: str) -> None:
    parts = [part("checkout"), part("search"), part("cart")]
    problem = shop(70, {"checkout": 0.0, "search": 0.3, "cart": 0.4}, parts=parts, owned=owner(70, parent=parent))
    bare = replace(problem, objectives={each.name: each for each in parts})
    shared = with_shares(problem)
    assert says in shared.shares[0].trouble
    assert (shared.weights, shared.cost_rooms) == ({}, ())
    assert make_plans(shared) == make_plans(bare)


@pytest.mark.parametrize("astray", [{"checkout": "nobody"}, {"checkout": "cart", "cart": "checkout"}])
def test_parts_that_hang_elsewhere_leave_the_budget_to_the_others(astray: dict[str, str]) -> None:
    parts = [part(name, astray.get(name, "shop")) for name in DEAR]
    shares = shares_of(shop(70, DEAR, parts=parts))
    assert not shares.trouble
    assert {each.name for each in shares.parts} == set(DEAR) - set(astray)


def test_a_hard_goal_has_the_only_slot_before_a_soft_one_that_would_be_worth_more() -> None:
    costs = {"checkout": 0.0, "search": 0.01}
    more: dict[str, Any] = {"n_slots": 1, "max_concurrent_goals": 1}
    soft = [part("checkout", ""), part("search", "")]
    hard = [part("checkout", ""), part("search", "", hard=True)]
    as_roots = [[each.model_copy(update={"parent": None}) for each in parts] for parts in (soft, hard)]
    first, second = (
        replace(shop(1, costs, **more), objectives={each.name: each for each in parts}) for parts in as_roots
    )
    assert acts(first) == {"checkout"}
    assert acts(second) == {"search"}


def test_a_hard_part_is_kept_whole_whatever_the_budget_has_left() -> None:
    parts = [part("checkout", hard=True), part("search"), part("cart")]
    assert acts(shop(100, DEAR, parts=parts)) == {"checkout"}


def fleet(limit: float, *, hard: str = "", **more: Any) -> PlanProblem:
    """Two services whose next step is four servers from two, of .05 an hour each, under a cost budget."""
    names = ("checkout", "search")
    parts = [part(name, hard=name == hard) for name in names]
    shop_ = Objective(name="shop", metric="shop", bound=1, budget=SharedBudget(cost=limit), horizon_s=HORIZON_S)
    steps = {
        f"{name}-servers": AmountStep(f"{name}-servers", f"{name}-servers", 2.0, 4.0, Move.RELIEVE, "needed", (name,))
        for name in names
    }
    severities = {"checkout": 0.4, "search": 0.3}
    return problem_of(
        [goal_of(name, series=name, severity=severities[name]) for name in names],
        {name: [Candidate(action=f"scale-{name}", target=name, params={"amount": 4.0})] for name in names},
        objectives={each.name: each for each in [*parts, shop_]},
        traits={f"scale-{name}": safe(f"scale-{name}", sets=f"{name}-servers", unit_cost=0.05) for name in names},
        steps=steps,
        **more,
    )


def test_a_cost_budget_with_room_for_both_lets_both_add() -> None:
    assert acts(fleet(0.4)) == {"checkout", "search"}


def test_a_cost_budget_with_room_for_one_goes_to_whom_it_is_worth_more_and_to_a_hard_one_first() -> None:
    assert acts(fleet(0.3)) == {"checkout"}
    assert acts(fleet(0.3, hard="search")) == {"search"}


def test_who_gets_nothing_of_a_cost_budget_is_told_why() -> None:
    problem = fleet(0.3)
    shares = shares_of(problem)
    assert {each.name: each.share for each in shares.parts} == pytest.approx({"checkout": 0.2, "search": 0.1})
    assert "search would take more" in shares.sentence
    decisions = {each.goal_id: each for each in make_plans(with_shares(problem)).decisions}
    assert "the budget of shop has no room for it" in decisions["search"].model_dump_json()


def test_a_cost_budget_that_is_overdrawn_adds_nothing_and_says_so() -> None:
    assert acts(fleet(0.15)) == set()
    assert "nothing is added until some is given back" in shares_of(fleet(0.15)).sentence


def test_what_is_set_aside_of_a_cost_budget_no_other_adds() -> None:
    problem = fleet(0.3)
    spared = problem.objectives["search"].model_copy(update={"least": 0.2})
    assert acts(replace(problem, objectives={**problem.objectives, "search": spared})) == {"search"}


def test_an_amount_that_serves_two_objectives_is_paid_for_once() -> None:
    problem = fleet(0.4)
    twin = part("checkout-errors", capacity="checkout-servers", driver="requests")
    shares = shares_of(replace(problem, objectives={**problem.objectives, twin.name: twin}))
    assert shares.used == pytest.approx(0.2)
    assert [each.name for each in shares.parts] == ["checkout", "search"]


def test_greedy_planning_keeps_a_cost_budget_as_well() -> None:
    assert acts(replace(fleet(0.3), method="greedy")) == {"checkout"}


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 3]))
def test_on_a_tree_of_services_the_plan_is_near_the_joint_optimum_and_shares_add_up(seed: int, depth: int) -> None:
    problem = tree_of(seed, depth)
    tree = Tree.of(problem)
    assert tree.score(as_shipped(tree)) >= 0.9 * tree.score(optimum(tree)) - 1e-9
    for shares in with_shares(problem).shares:
        given_ = sum(each.share for each in shares.parts)
        assert given_ <= max(0.0, shares.left) + shares.over + 1e-6


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sets(st.integers(0, 11), max_size=3),
    st.sets(st.integers(0, 11), max_size=3),
    st.sets(st.integers(0, 13), max_size=4),
    st.floats(0, 30),
)
def test_whatever_is_silent_given_up_hard_or_set_aside_shares_stay_within_what_is_left_or_say_by_how_much_not(
    seed: int, silent: set[int], lost: set[int], hard: set[int], least: float
) -> None:
    problem = tree_of(seed, 3)
    names = list(problem.objectives)
    chosen = {names[place % len(names)] for place in hard}
    objectives = {
        name: each.model_copy(update={"hard": name in chosen, "least": least if name in chosen else 0.0})
        for name, each in problem.objectives.items()
    }
    given_up = frozenset(names[place % len(names)] for place in lost)
    changed = replace(
        problem,
        objectives=objectives,
        silent=frozenset(names[place % len(names)] for place in silent),
        given_up=given_up,
        goals=tuple(view for view in problem.goals if view.goal.objective not in given_up),
    )
    shared = with_shares(changed)
    make_plans(shared)
    assert all(1.0 <= weight < 1e4 for weight in shared.weights.values())
    for shares in shared.shares:
        assert shares.sentence
        assert sum(each.share for each in shares.parts) <= max(0.0, shares.left) + shares.over + 1e-6
        assert all(each.share >= each.least - 1e-9 for each in shares.parts)
