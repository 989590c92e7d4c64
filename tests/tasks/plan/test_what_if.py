"""What the twin says of an act: metrics moved by what is believed, no sooner than it works, and what that is worth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.records import Candidate, Forecast
from tasks.plan import PlanProblem, fan_with, next_amount, what_if
from tasks.plan.valuation.value import Valuer
from tests.tasks.plan.valuation.test_amounts import question
from tests.tasks.plan.worlds import TICK, KnownEffects, goal_of, problem_of, rising_paths, safe

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
CURE = Candidate(action="cure", target="a", expected_change={"cpu": -10.0}, latency_s=120.0)


def forecast(paths: np.ndarray[Any, Any], series: str = "cpu") -> Forecast:
    return Forecast(
        series=series,
        issued_at=TICK,
        step_s=60,
        levels=LEVELS,
        point=np.median(paths, axis=0),
        quantiles=np.quantile(paths, LEVELS, axis=0).T,
        method="fleet",
    )


def asked(**more: Any) -> PlanProblem:
    given_: dict[str, Any] = {"traits": {"cure": safe("cure")}}
    return problem_of([goal_of()], {"g": [CURE]}, KnownEffects({"cure": 2.0}, sd=0.1), **given_ | more)


def test_a_metric_is_moved_from_when_the_act_works_and_not_before() -> None:
    problem = asked()
    told = what_if(problem, {"cpu": forecast(problem.paths["cpu"])}, CURE, 600.0)
    (fan,) = told.fans
    assert np.array_equal(fan.with_act[fan.times_s <= 720], fan.without[fan.times_s <= 720])
    assert fan.change is not None
    moved = (fan.with_act - fan.without)[-1]
    assert moved[2] == pytest.approx(fan.change[0])
    assert fan.change[0] < -5


def test_an_objective_breaks_in_fewer_futures_with_what_helps_the_sooner_it_is_done() -> None:
    problem = asked()
    forecasts = {"cpu": forecast(problem.paths["cpu"])}
    soon, late = (what_if(problem, forecasts, CURE, start_s).breaches for start_s in (0.0, 3_000.0))
    assert soon
    assert soon[0].without == late[0].without > 0.5
    assert soon[0].with_act <= late[0].with_act <= soon[0].without


def test_the_gain_is_the_planners_own() -> None:
    problem = asked()
    told = what_if(problem, {"cpu": forecast(problem.paths["cpu"])}, CURE, 0.0)
    worth = Valuer(problem, problem.goals[0]).worth(CURE)
    assert told.gains[0].gain == pytest.approx(float(worth.gain[0]) - CURE.cost)
    assert told.gains[0].needed == pytest.approx(worth.needed)


def test_of_an_act_that_declares_nothing_and_was_never_measured_nothing_is_said() -> None:
    problem = asked()
    told = what_if(problem, {"cpu": forecast(problem.paths["cpu"])}, Candidate(action="other", target="a"), 0.0)
    assert (told.fans, told.breaches, told.gains) == ((), (), ())


def test_what_was_measured_beside_the_aim_is_told_where_it_is_clear() -> None:
    paths = {"cpu": rising_paths(0), "errors": rising_paths(1), "noise": rising_paths(2)}
    changes = {("cure", "errors"): (8.0, 1.0), ("cure", "noise"): (0.2, 1.0)}
    sd = dict.fromkeys(paths, 5.0)
    problem = asked(paths=paths, step_s=dict.fromkeys(paths, 60.0), series_sd=sd, changes=changes)
    told = what_if(problem, {name: forecast(each, name) for name, each in paths.items()}, CURE, 0.0)
    assert {fan.series for fan in told.fans} == {"cpu", "errors"}


@given(mean=st.floats(-50, 50), sd=st.floats(0, 20), width=st.floats(0, 10))
def test_a_fan_keeps_its_order_and_is_never_narrower_for_an_act(mean: float, sd: float, width: float) -> None:
    quantiles = 100 + np.outer(np.linspace(1, 2, 12), width * np.array([-2.0, -1.0, 0.0, 1.0, 2.0]))
    moved = fan_with(quantiles, LEVELS, 60.0 * np.arange(-2.0, 10.0), (mean, sd), latency_s=60.0, duration_s=300.0)
    assert (np.diff(moved, axis=1) >= -1e-9).all()
    assert (np.ptp(moved, axis=1) >= np.ptp(quantiles, axis=1) - 1e-9).all()
    assert np.allclose(moved[:3], quantiles[:3]), "nothing happens before the act"
    assert np.allclose(moved[6, 2], 100 + mean)


def test_a_metric_that_follows_an_amount_is_told_from_when_what_is_added_works() -> None:
    problem = question(np.full(30, 3.0), 2.0)
    told = what_if(problem, {}, Candidate(action="set", params={"amount": 6}, latency_s=180.0, target="set"), 300.0)
    (fan,) = told.fans
    assert (fan.series, fan.change) == ("load", None)
    works = fan.times_s > 480
    assert np.array_equal(fan.with_act[~works], fan.without[~works])
    assert fan.with_act[works, 2] == pytest.approx(fan.without[works, 2] / 3)
    busy, *_ = told.breaches
    assert (busy.objective, busy.without, busy.with_act) == ("busy", 1.0, 1.0), "until it works it is broken"


def test_an_amount_that_is_not_known_or_stated_tells_nothing() -> None:
    problem = question(np.full(30, 3.0), 2.0)
    assert what_if(problem, {}, Candidate(action="set", target="set"), 0.0).fans == ()
    unknown = question(np.full(30, 3.0), 2.0, capacities={})
    assert what_if(unknown, {}, Candidate(action="set", params={"amount": 6}, target="set"), 0.0).fans == ()


def of_workers(**more: Any) -> PlanProblem:
    traits = {"set": safe(sets="workers")}
    return problem_of([goal_of()], {"g": [CURE]}, traits=traits, capacities={"workers": 4.0}, **more)


def workers(amount: float) -> Candidate:
    return Candidate(action="set", target="a", params={"amount": amount}, expected_change={"cpu": -10.0})


@pytest.mark.parametrize(("amount", "change"), [(5, -10.0), (6, -20.0), (1, 30.0)])
def test_what_an_amount_declares_counts_for_each_unit_and_against_it_for_each_taken_away(
    amount: float, change: float
) -> None:
    problem = of_workers(changes={("set", "cpu"): (-7.0, 0.5)})
    (fan,) = what_if(problem, {"cpu": forecast(problem.paths["cpu"])}, workers(amount), 0.0).fans
    assert fan.change is not None
    assert fan.change[0] == pytest.approx(change)


def test_the_amount_that_is_in_force_changes_nothing_and_one_that_nobody_knows_tells_nothing() -> None:
    problem = of_workers()
    forecasts = {"cpu": forecast(problem.paths["cpu"])}
    (breach,) = what_if(problem, forecasts, workers(4), 0.0).breaches
    assert breach.with_act == breach.without
    assert what_if(replace(problem, capacities={}), forecasts, workers(5), 0.0).fans == ()


def test_an_amount_that_nobody_names_is_the_next_higher_one() -> None:
    offers = [workers(amount) for amount in (1, 2, 5, 6)]
    assert next_amount(of_workers(), offers).params == {"amount": 5}
    assert next_amount(replace(of_workers(), capacities={"workers": 9.0}), offers).params == {"amount": 6}
