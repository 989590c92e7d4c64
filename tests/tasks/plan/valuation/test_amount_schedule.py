"""Amounts are chosen on the paths of what drives the metric, early enough for what they need to get there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.records import Action, Candidate, FloatArray, Frame, Objective
from tasks.drivers.breaches import driven_breaches
from tasks.drivers.fitting import fit_driven
from tasks.drivers.responses import ProductResponse, QueueResponse, RatioResponse, fit_response
from tasks.objectives.ratios import with_ratios
from tasks.plan import AmountRules, make_plans, plan_amounts, stage_losses
from tests.tasks.plan.worlds import TICK, goal_of, problem_of, safe

AMOUNTS = np.arange(1.0, 9.0)
LOAD = RatioResponse(work=1.0)


def paths_of(level: FloatArray, n_paths: int = 40, noise: float = 0.02) -> FloatArray:
    return level * np.random.default_rng(0).normal(1.0, noise, (n_paths, len(level)))


def losses_for(level: FloatArray, bound: float = 0.8) -> FloatArray:
    return stage_losses(paths_of(level), AMOUNTS, LOAD, bound, "below", 0.1)


class TestStageLosses:
    def test_more_capacity_is_never_more_loss(self) -> None:
        losses = losses_for(np.linspace(1, 6, 30))
        assert (np.diff(losses, axis=1) <= 1e-12).all()

    def test_the_least_amount_without_loss_is_load_over_bound(self) -> None:
        losses = stage_losses(np.full((20, 5), 3.9), AMOUNTS, LOAD, 0.8, "below", 0.1)
        assert AMOUNTS[np.flatnonzero(losses[0] == 0)[0]] == 5

    def test_for_a_lower_bound_too_much_is_the_loss(self) -> None:
        losses = stage_losses(np.full((20, 5), 2.0), AMOUNTS, LOAD, 0.4, "above", 0.1)
        assert losses[0, 4] == 0.0 < losses[0, 5]


class TestPlanning:
    def test_nothing_changes_where_the_amount_is_right(self) -> None:
        plan = plan_amounts(losses_for(np.full(20, 3.0)), AMOUNTS, 4.0, AmountRules(3, unit_cost=0.01, change_cost=0.1))
        assert plan.best == 4.0
        assert plan.gain(0, 6.0) < 0

    def test_an_increase_begins_its_latency_before_it_is_needed_and_not_earlier(self) -> None:
        level = np.where(np.arange(30) < 15, 2.0, 6.0)
        plan = plan_amounts(losses_for(level), AMOUNTS, 3.0, AmountRules(4, unit_cost=0.01))
        gains = [plan.gain(step, 8.0) for step in range(20)]
        assert int(np.argmax(gains)) == 11

    def test_where_one_comes_at_a_time_the_first_begins_that_much_earlier(self) -> None:
        level = np.where(np.arange(30) < 15, 2.0, 4.6)
        rules = AmountRules(4, unit_cost=0.01, most_up=1.0)
        plan = plan_amounts(losses_for(level), AMOUNTS, 3.0, rules)
        gains = [plan.gain(step, 4.0) for step in range(20)]
        assert int(np.argmax(gains)) == 15 - 3 * 4

    def test_more_than_may_come_at_once_is_out_of_reach(self) -> None:
        plan = plan_amounts(losses_for(np.full(20, 6.0)), AMOUNTS, 3.0, AmountRules(4, most_up=1.0))
        assert plan.gain(0, 5.0) == -np.inf
        assert plan.best == 4.0

    def test_idle_capacity_is_given_back_if_it_costs(self) -> None:
        losses = losses_for(np.full(20, 1.5))
        assert plan_amounts(losses, AMOUNTS, 6.0, AmountRules(3, unit_cost=0.01)).best == 2.0
        assert plan_amounts(losses, AMOUNTS, 6.0, AmountRules(3, change_cost=0.1)).best == 6.0

    def test_capacity_needed_again_before_it_could_come_back_is_kept(self) -> None:
        level = np.where((np.arange(20) % 6) < 3, 1.5, 4.5)
        plan = plan_amounts(losses_for(level), AMOUNTS, 6.0, AmountRules(8, unit_cost=0.01))
        assert plan.best == 6.0

    def test_a_present_amount_that_is_no_choice_is_refused(self) -> None:
        with pytest.raises(ValueError, match="present amount"):
            plan_amounts(losses_for(np.full(5, 1.0)), AMOUNTS, 2.5, AmountRules(1))

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10_000), st.integers(1, 6), st.floats(0, 0.05))
    def test_the_best_first_move_is_no_worse_than_holding(self, seed: int, latency: int, cost: float) -> None:
        level = np.abs(np.random.default_rng(seed).normal(3, 2, 25))
        plan = plan_amounts(losses_for(level), AMOUNTS, 4.0, AmountRules(latency, cost, 0.05))
        assert plan.gain(0, plan.best) >= -1e-9

    @settings(max_examples=15, deadline=None)
    @given(st.integers(0, 10_000), st.integers(1, 3))
    def test_it_finds_the_cheapest_of_all_schedules(self, seed: int, latency: int) -> None:
        amounts = np.array([1.0, 2.0, 3.0])
        losses = np.sort(np.random.default_rng(seed).random((5, 3)), axis=1)[:, ::-1]
        rules = AmountRules(latency, unit_cost=0.05, change_cost=0.02)
        plan = plan_amounts(losses, amounts, 2.0, rules)
        assert np.nanmin(plan.to_go[0]) == pytest.approx(cheapest(losses, amounts, 1, 0, rules) / 5)


def cheapest(losses: FloatArray, amounts: FloatArray, here: int, step: int, rules: AmountRules) -> float:
    """Return the cost of the best schedule by trying them all."""
    if step >= len(losses):
        return 0.0
    costs = []
    for to, amount in enumerate(amounts):
        length = rules.latency_steps if to > here else 1
        span = range(step, min(step + length, len(losses)))
        working = here if to > here else to
        cost = sum(losses[each, working] + rules.unit_cost * amount for each in span)
        cost += rules.change_cost * (to != here)
        costs.append(cost + cheapest(losses, amounts, to, step + length, rules))
    return min(costs)


class TestFitting:
    rng = np.random.default_rng(1)
    driver = rng.uniform(20, 200, 300)
    capacity = rng.integers(3, 12, 300).astype(float)

    def test_a_ratio_is_recovered(self) -> None:
        metric = 0.04 * self.driver / self.capacity + np.random.default_rng(2).normal(0, 0.01, 300)
        fitted = fit_response(metric, self.driver, self.capacity)
        assert isinstance(fitted, RatioResponse)
        assert fitted.work == pytest.approx(0.04, rel=0.05)

    def test_a_queue_is_recovered(self) -> None:
        metric = QueueResponse(0.04, 0.014).metric(self.driver, self.capacity)
        metric = metric * np.random.default_rng(3).normal(1, 0.05, 300)
        fitted = fit_response(metric, self.driver, self.capacity)
        assert isinstance(fitted, QueueResponse)
        assert fitted.work == pytest.approx(0.014, rel=0.1)

    def test_a_product_is_recovered(self) -> None:
        dimmer = np.random.default_rng(4).uniform(0.3, 1.0, 300)
        metric = self.driver * (0.002 + 0.036 * dimmer) * np.random.default_rng(5).normal(1, 0.03, 300)
        fitted = fit_response(metric, self.driver, dimmer)
        assert isinstance(fitted, ProductResponse)
        assert fitted.work == pytest.approx(0.036, rel=0.1)

    def test_a_metric_that_does_not_follow_its_driver_is_not_fitted(self) -> None:
        unrelated = np.random.default_rng(6).normal(5, 1, 300)
        assert fit_response(unrelated, self.driver, self.capacity) is None
        assert fit_response(self.driver, np.full(300, np.nan), self.capacity) is None
        assert fit_response(self.driver[:5], self.driver[:5], self.capacity[:5]) is None

    def test_a_queue_grows_without_a_jump_where_it_is_full(self) -> None:
        loads = np.linspace(0, 3, 1_000)
        metric = QueueResponse(1.0, 1.0).metric(loads, np.ones(1_000))
        assert (np.diff(metric) > 0).all()
        assert np.abs(np.diff(metric, n=2)).max() < 0.5

    def test_it_is_read_off_the_frames(self) -> None:
        objective = Objective(name="load", metric="load", bound=0.8, driver="rate", capacity="servers")
        rows = np.stack([0.04 * self.driver / self.capacity, self.driver, self.capacity])
        frame = Frame(series=("load", "rate", "servers"), values=rows, end=TICK, step_s=60.0)
        found = fit_driven([objective], [frame])
        assert set(found.responses) == {"load"}
        assert found.capacities == {"servers": self.capacity[-1]}

    def test_what_is_declared_is_not_fitted(self) -> None:
        objective = Objective(name="load", metric="load", bound=0.8, driver="rate", capacity="servers")
        frame = Frame(series=("servers",), values=np.full((1, 5), 4.0), end=TICK, step_s=60.0)
        declared = RatioResponse(work=1.0)
        assert fit_driven([objective], [frame], {"load": declared}).responses == {"load": declared}


class TestInThePlanner:
    guards: tuple[str, ...] = ()

    def plan(self, level: FloatArray, now: float, **more: object) -> list[str]:
        return [f"{act.params['amount']}" for act in self.acts(level, now, **more)]

    def acts(self, level: FloatArray, now: float, **more: object) -> tuple[Action, ...]:
        objective = Objective(
            name="load", metric="load", bound=0.8, severity=0.8, driver="rate", capacity="servers", horizon_s=1_800
        ).model_copy(update={"guards": self.guards})
        goal = goal_of(series="load", objective="load", bound=0.8, severity=0.8, in_s=300.0)
        offers = [
            Candidate(action="set", params={"amount": amount}, latency_s=180.0 if amount > now else 0.0)
            for amount in range(1, 9)
            if amount != now
        ]
        traits = {"set": safe(sets="servers", unit_cost=0.01)}
        problem = problem_of([goal], {"g": offers}, traits=traits)
        problem = replace(
            problem,
            objectives={"load": objective},
            paths={"rate": paths_of(level)},
            step_s={"rate": 60.0},
            series_sd={"load": 0.1},
            capacities={"servers": now},
            responses={"load": LOAD},
            **more,  # type: ignore[arg-type]
        )
        return tuple(make_plans(problem).actions)

    def test_the_amount_that_carries_the_peak_is_chosen(self) -> None:
        assert self.plan(np.where(np.arange(30) < 3, 2.0, 4.5), 3) == ["6"]

    def test_what_sets_an_amount_carries_the_guards_of_its_objective(self) -> None:
        self.guards = ("errors",)
        (act,) = self.acts(np.where(np.arange(30) < 3, 2.0, 4.5), 3)
        assert (act.series, act.guards) == (None, ("errors",))

    def test_it_waits_while_the_peak_is_far(self) -> None:
        assert self.plan(np.where(np.arange(30) < 15, 2.0, 4.7), 3) == []

    def test_it_gives_back_what_stands_idle_only_if_the_objective_is_kept(self) -> None:
        assert self.plan(np.full(30, 2.0), 8, margin=0.0) == ["3"]


class TestRatios:
    objective = Objective(
        name="per-server", metric="rate", denominator="servers", bound=20, driver="rate", capacity="servers"
    )

    def frame(self) -> Frame:
        values = np.array([[100.0, 80.0, np.nan, 60.0], [5.0, 4.0, 4.0, 0.0]])
        return Frame(series=("rate", "servers"), values=values, end=TICK, step_s=60.0)

    def test_a_ratio_is_a_series_of_its_own_and_unknown_where_a_part_is(self) -> None:
        row = with_ratios(self.frame(), [self.objective]).row("rate/servers")
        assert row[:2].tolist() == [20.0, 20.0]
        assert np.isnan(row[2:]).all()

    def test_an_objective_on_a_ratio_judges_neither_of_its_parts(self) -> None:
        assert self.objective.matches("rate/servers")
        assert not self.objective.matches("rate")

    def test_driver_per_capacity_needs_no_fit(self) -> None:
        assert fit_driven([self.objective], [self.frame()]).responses == {"per-server": RatioResponse(1.0)}

    def test_an_objective_on_the_capacity_itself_needs_no_fit(self) -> None:
        enough = Objective(name="enough", metric="servers", side="above", bound=2, driver="rate", capacity="servers")
        response = fit_driven([enough], [self.frame()]).responses["enough"]
        assert response.metric(np.ones((2, 3)), np.array(4.0)).tolist() == [[4.0] * 3] * 2

    def test_a_breach_is_read_off_the_driver_at_the_present_capacity(self) -> None:
        driven = fit_driven([self.objective], [self.frame().model_copy(update={"values": np.array([[90.0], [5.0]])})])
        rising = {"rate": np.tile(np.linspace(90, 130, 60), (20, 1))}
        (breach,) = driven_breaches([self.objective], driven, rising, {"rate": 60.0}, TICK, {"rate/servers": 18.0})
        assert (breach.series, breach.probability, breach.is_breached_now) == ("rate/servers", 1.0, False)
        assert breach.expected_at is not None
        assert (breach.expected_at - TICK).total_seconds() == pytest.approx(900, abs=60)
