"""What an action does to other objectives is declared or measured, and priced through each of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.records import NOTHING, Autonomy, Candidate, GoalType, Objective, Strategy
from tasks.plan import PlanProblem, make_plans
from tasks.plan.valuation.side_effects import harms_of
from tests import sized
from tests.tasks.plan.worlds import KnownEffects, goal_of, problem_of, rising_paths

SHED = Candidate(action="shed", target="p", latency_s=10)
LESSER = Objective(name="cpu", metric="cpu", bound=90, severity=0.3)
GRAVER = Objective(name="few-errors", metric="errors", bound=5.0, severity=0.9)
PATHS = {"cpu": rising_paths(low=92.0, high=100.0), "errors": np.full((42, 60), 4.0)}


def two_objectives(offer: Candidate = SHED, **more: Any) -> PlanProblem:
    fields: dict[str, Any] = {
        "objectives": {each.name: each for each in (LESSER, GRAVER)},
        "paths": PATHS,
        "step_s": dict.fromkeys(PATHS, 60.0),
        "series_sd": {"cpu": 10.0, "errors": 0.5},
        "strategies": {GoalType.BOTTLENECK_PREVENTION: Strategy.IMMEDIATE},
    }
    beliefs = more.pop("beliefs", KnownEffects({"shed": 1.5}))
    goal = goal_of(severity=0.3, in_s=0.0)
    return problem_of([goal], {"g": [offer]}, beliefs, **(fields | more))


def test_an_action_that_harms_nothing_else_is_chosen() -> None:
    assert make_plans(two_objectives()).decisions[0].chosen.action == "shed"


@pytest.mark.parametrize("declared", [{"expected_change": {"errors": 3.0}}, {"expected_effect": {"err*": 6.0}}])
def test_declared_harm_to_a_graver_objective_keeps_an_action_from_being_done(declared: dict[str, Any]) -> None:
    (decision,) = make_plans(two_objectives(SHED.model_copy(update=declared))).decisions
    assert decision.chosen.action == NOTHING
    assert decision.alternatives[0].reason == "it is expected to do more harm than good, to few-errors"


def test_measured_harm_counts_like_declared_harm_and_is_not_tried_again() -> None:
    changes = {("shed", "errors"): (3.0, 0.3)}
    results = [make_plans(two_objectives(changes=changes, explore=True, seed=seed)) for seed in range(40)]
    assert not any(result.actions for result in results)


def test_measured_harm_corrects_a_harmless_declaration() -> None:
    offer = SHED.model_copy(update={"expected_change": {"errors": -0.5}})
    assert make_plans(two_objectives(offer)).decisions[0].chosen.action == "shed"
    told = two_objectives(offer, changes={("shed", "errors"): (3.0, 0.1)})
    assert make_plans(told).decisions[0].chosen.action == NOTHING


def test_harm_to_a_metric_that_no_objective_limits_costs_nothing() -> None:
    offer = SHED.model_copy(update={"expected_change": {"temperature": 50.0}})
    assert make_plans(two_objectives(offer)).decisions[0].chosen.action == "shed"


@settings(max_examples=sized(30, 60), deadline=None)
@given(change=st.floats(0.05, 5), error=st.floats(0.01, 5))
def test_a_measured_side_effect_is_never_believed_larger_than_measured_and_the_less_the_less_sure(
    change: float, error: float
) -> None:
    def believed(error: float) -> float:
        problem = two_objectives(changes={("shed", "errors"): (change, error)})
        harms = list(harms_of(problem, SHED, problem.goals[0].goal))
        return harms[0].mean if harms else 0.0

    assert -change / 0.5 - 1e-9 <= believed(2 * error) <= 0
    assert believed(error) <= believed(2 * error) + 1e-9


def test_a_person_who_is_asked_is_told_what_each_way_saves_costs_and_harms() -> None:
    levels = {(kind, "shed"): Autonomy.APPROVE for kind in GoalType}
    offer = SHED.model_copy(update={"expected_change": {"errors": 0.6}, "cost": 0.01})
    (decision,) = make_plans(two_objectives(offer, levels=levels, margin=0.0)).decisions
    assert decision.chosen.action == "shed"
    assert "To weigh: shed on p saves" in decision.explanation
    assert "costs 0.01 and harms few-errors by" in decision.explanation


def test_a_declaration_that_the_measurement_contradicts_is_said() -> None:
    offer = SHED.model_copy(update={"expected_effect": {"cpu": -1.0}})
    problem = two_objectives(offer, beliefs=KnownEffects({"shed": -1.0}, 0.05))
    (decision,) = make_plans(problem).decisions
    assert decision.chosen.action == NOTHING
    assert "shed is declared to help but was measured to harm: the measurement counts." in decision.explanation
