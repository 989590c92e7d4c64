"""A backlog is planned for: what waits is drained, what arrives is carried, and what is not needed is given back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.records import Candidate, FloatArray, Objective
from tasks.drivers.backlog import BacklogResponse
from tasks.plan.problem import PlanProblem
from tasks.plan.valuation.amount_backlog import BacklogFutures, plan_backlog
from tasks.plan.valuation.amount_schedule import AmountRules
from tasks.plan.valuation.amounts import AmountValues, amount_values
from tests.tasks.plan.worlds import goal_of, problem_of, safe

AGE = Objective(name="age", metric="age", bound=300.0, severity=0.8, driver="jobs", capacity="workers", horizon_s=3_600)
RATE = 6.0


def question(level: FloatArray, now: float, age_s: float = 0.0, rate: float = RATE) -> PlanProblem:
    goal = goal_of("age", series="age", objective="age", bound=300.0, severity=0.8)
    offers = [Candidate(action="set", params={"amount": n}, latency_s=300.0, target="set") for n in range(1, 31)]
    problem = problem_of([goal], {"age": offers}, traits={"set": safe(sets="workers", unit_cost=0.01)})
    queue = BacklogResponse(rate, True, 1.0, 60.0).from_state(age_s, float(level[0]))
    return replace(
        problem,
        objectives={"age": AGE},
        paths={"jobs": level * np.random.default_rng(0).normal(1.0, 0.02, (40, len(level)))},
        step_s={"jobs": 60.0},
        capacities={"workers": now},
        responses={"age": queue},
        cycle_s=300.0,
    )


def values_of(problem: PlanProblem) -> AmountValues:
    values = amount_values(problem, problem.goals[0])
    assert values is not None
    return values


@settings(max_examples=25, deadline=None)
@given(jobs=st.floats(6, 150), now=st.integers(1, 30), age_s=st.floats(0, 3_000))
def test_no_amount_within_reach_serves_less_than_what_arrives(jobs: float, now: int, age_s: float) -> None:
    plan = values_of(question(np.full(60, jobs), float(now), age_s)).plan
    if plan.best != now:
        assert plan.best * RATE >= jobs


def test_with_more_arriving_than_is_served_an_increase_is_worth_most_of_the_objective() -> None:
    plan = values_of(question(np.full(60, 62.0), 8.0)).plan
    assert plan.gain(0, 12.0) > 0.5
    assert plan.gain(0, 10.0) == -np.inf


def test_what_waits_already_asks_for_more_than_what_arrives() -> None:
    steady = np.full(60, 60.0)
    calm, late = (values_of(question(steady, 11.0, age_s)).plan.best for age_s in (0.0, 1_800.0))
    assert late > calm


def test_an_amount_that_idles_is_given_back() -> None:
    best = values_of(question(np.full(60, 20.0), 20.0)).plan.best
    assert 20.0 / RATE <= best <= 6


def test_a_peak_to_come_is_provided_for_before_it_is_there() -> None:
    peak = np.concatenate([np.full(20, 30.0), np.full(40, 120.0)])
    plan = values_of(question(peak, 6.0)).plan
    steps = [float(plan.amounts[int(np.nanargmin(row))]) for row in plan.to_go]
    assert max(steps[: 20 * 60 // 120]) >= 120.0 / RATE - 3


def test_the_present_amount_must_be_one_of_those_planned() -> None:
    futures = BacklogFutures(np.ones((1, 2)), np.ones(1), 0.0, np.array([0.0, 1.0]), np.zeros((1, 2, 2)))
    with pytest.raises(ValueError, match="present amount"):
        plan_backlog(futures, np.zeros((2, 1)), np.array([1.0]), 5.0, AmountRules(1))
