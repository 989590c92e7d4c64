"""The stage reads what of a shared budget was used, shares it and keeps that; without a budget nothing is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from flows.cycle import bare
from flows.simulate import TickClock
from flows.wiring import live_context
from handlers import from_callable
from settings import Settings, load_settings
from storage import Store, open_store
from storage.facts import BUDGET_SHARES
from storage.records import Objective, Sample, SharedBudget
from tasks.context import Context
from tasks.forecast.task import forecast
from tasks.goals.task import goals
from tasks.monitor.task import monitor
from tasks.plan.task import plan
from tests.flows.worlds import MINUTE, START

SHOP = Objective(name="shop", metric="orders", side="above", bound=0, budget=SharedBudget(minutes=60, days=1))
PARTS = tuple(
    Objective(name=name, metric=f"{name}_latency", bound=200, severity=0.4, parent="shop")
    for name in ("checkout", "search")
)


class Services:
    """Two latencies: checkout's was broken for 20 minutes an hour ago and is again now, search is well."""

    def observe(self, tick: Any) -> Iterator[Sample]:
        minutes = int((tick - START) / MINUTE)
        noise = np.random.default_rng(3).normal(0, 4, (minutes, 2))
        for minute in range(minutes):
            is_slow = 60 <= minute < 80 or minute >= minutes - 10
            values = {"checkout_latency": 320.0 if is_slow else 100.0, "search_latency": 90.0}
            for row, (name, value) in enumerate(values.items()):
                yield Sample(metric=name, value=value + noise[minute, row], ts=START + (minute + 1) * MINUTE)


class ShopRig:
    """A store with what the services did, and one action that mends a latency."""

    def __init__(self, folder: Any, objectives: tuple[Objective, ...]) -> None:
        self.clock = TickClock(START)
        self.store: Store = open_store(clock=self.clock)
        self.settings: Settings = load_settings(
            folder,
            home=folder,
            use_default_objectives=False,
            objectives=objectives,
            agent={"analysis_interval_minutes": 1},
        )
        self.mend = from_callable("mend", lambda params, goal_id: {"success": True}, default_level="auto", risk="low")

    def turn(self, minute: int, *, heard: bool = True) -> Context:
        tick = START + minute * MINUTE
        self.clock.now = tick
        if heard:
            self.store.samples.append(list(Services().observe(tick)))
        actions = {"mend": self.mend}
        context = live_context(self.settings, self.store, tick, "simulation", actions=actions, now=self.clock)
        outlook = bare(forecast, context, bare(monitor, context))
        bare(plan, context, bare(goals, context, outlook, ()), outlook)
        return context


def test_broken_minutes_are_counted_from_what_was_recorded_and_shares_are_kept(tmp_path: Any) -> None:
    shop = ShopRig(tmp_path, (SHOP, *PARTS))
    context = shop.turn(150)
    (shares,) = shop.store.facts.get(BUDGET_SHARES) or ()
    assert (shares.budget, shares.cycle_id) == ("shop", context.cycle_id)
    used = {part.name: part.used for part in shares.parts}
    assert used == pytest.approx({"checkout": 30.0, "search": 0.0}, abs=0.5)
    assert shares.left == pytest.approx(30.0, abs=0.5)
    assert "30 used" in shares.sentence
    assert next(part for part in shares.parts if part.name == "checkout").foreseen > 5


def test_minutes_that_leave_the_window_before_the_horizon_count_no_more(tmp_path: Any) -> None:
    short = SHOP.model_copy(update={"budget": SharedBudget(minutes=60, days=2 / 24), "horizon_s": 3_600.0})
    shop = ShopRig(tmp_path, (short, *PARTS))
    shop.turn(150)
    (shares,) = shop.store.facts.get(BUDGET_SHARES) or ()
    assert shares.used == pytest.approx(10.0, abs=0.5)


def test_a_part_that_falls_silent_is_lost_and_its_share_goes_to_the_others(tmp_path: Any) -> None:
    shop = ShopRig(tmp_path, (SHOP, *PARTS))
    shop.turn(150)
    shop.turn(160, heard=False)
    (shares,) = shop.store.facts.get(BUDGET_SHARES) or ()
    assert {part.lost for part in shares.parts} == {"nothing is heard of it"}
    assert "its share goes to the others" in shares.sentence


def test_without_a_budget_nothing_is_kept_and_plans_are_the_same(tmp_path: Any) -> None:
    with_roomy = ShopRig(tmp_path, (SHOP.model_copy(update={"budget": SharedBudget(minutes=9_000, days=1)}), *PARTS))
    without = ShopRig(tmp_path, (SHOP.model_copy(update={"budget": None}), *PARTS))
    planned = [shop.store.decisions.of_cycle(shop.turn(150).cycle_id) for shop in (with_roomy, without)]
    assert without.store.facts.get(BUDGET_SHARES) is None
    assert planned[0] == planned[1]
    assert planned[0]


def test_with_parents_in_a_circle_plans_are_as_without_a_budget_and_that_is_kept(tmp_path: Any) -> None:
    in_a_circle = ShopRig(tmp_path, (SHOP.model_copy(update={"parent": "checkout"}), *PARTS))
    without = ShopRig(tmp_path, (SHOP.model_copy(update={"budget": None}), *PARTS))
    planned = [shop.store.decisions.of_cycle(shop.turn(150).cycle_id) for shop in (in_a_circle, without)]
    (kept,) = in_a_circle.store.facts.get(BUDGET_SHARES) or ()
    assert "each other's parents" in kept.trouble
    assert planned[0] == planned[1]
    assert planned[0]


def test_while_no_goal_is_open_the_budget_is_told_all_the_same(tmp_path: Any) -> None:
    shop = ShopRig(tmp_path, (SHOP, PARTS[1]))
    context = shop.turn(150)
    (shares,) = shop.store.facts.get(BUDGET_SHARES) or ()
    assert shop.store.decisions.of_cycle(context.cycle_id) == []
    assert (shares.used, shares.left, [part.name for part in shares.parts]) == (0.0, 60.0, ["search"])


def test_a_budget_that_is_removed_leaves_no_shares_behind(tmp_path: Any) -> None:
    shop = ShopRig(tmp_path, (SHOP, *PARTS))
    shop.turn(150)
    shop.settings = shop.settings.model_copy(update={"objectives": PARTS})
    shop.turn(151)
    assert shop.store.facts.get(BUDGET_SHARES) == ()
