"""Of the amounts that a goal's action offers, the next step alone is taken, certainly, and told in plain English."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from storage.records import NOTHING, Candidate, GoalType, Objective, Strategy
from tasks.drivers.amount_steps import Move
from tasks.drivers.settable_amounts import AmountStep
from tasks.plan import PlanProblem, make_plans
from tasks.plan.problem import Commitment
from tests.tasks.plan.worlds import TICK, goal_of, problem_of, safe

AGE = Objective(name="age", metric="age", bound=90, severity=0.6)


def question(move: Move, to: float, *goals: Any, now: float = 4.0, **more: Any) -> PlanProblem:
    asked = goals or (goal_of("g", series="age"),)
    offers = [Candidate(action="set", params={"amount": float(n)}, target="set") for n in range(1, 9)]
    fields: dict[str, Any] = {
        "objectives": {"age": AGE},
        "traits": {"set": safe("set", sets="workers", amounts=tuple(map(float, range(1, 9))))},
        "steps": {"workers": AmountStep("workers", "workers", now, to, move, "workers goes on: one step", ("age",))},
        "explore": True,
        "nothing_floor": 0.05,
    }
    return problem_of(asked, {goal.goal_id: offers for goal in asked}, **fields | more)


DATABASE = Objective(name="database", metric="connections", bound=100.0, severity=0.9)


def with_declared(problem: PlanProblem, per_unit: float, level: float) -> PlanProblem:
    """Return a problem where each unit more changes the connections of a database, which stand at a level."""
    return replace(
        problem,
        objectives={**problem.objectives, "database": DATABASE},
        candidates={
            key: tuple(each.model_copy(update={"expected_change": {"connections": per_unit}}) for each in offers)
            for key, offers in problem.candidates.items()
        },
        paths={**problem.paths, "connections": np.full((42, 60), level)},
        step_s={**problem.step_s, "connections": 60.0},
        series_sd={**problem.series_sd, "connections": 5.0},
    )


def saving() -> Any:
    return goal_of(
        "save", series="workers", objective="age", goal_type=GoalType.COST_REDUCTION, bound=3.0, severity=0.1
    )


@pytest.mark.parametrize("seed", range(8))
def test_the_next_step_is_taken_without_chance_and_no_other_amount_is(seed: int) -> None:
    result = make_plans(question(Move.RELIEVE, 5.0, seed=seed))
    (action,) = result.actions
    assert action.params == {"amount": 5.0}
    assert action.propensity == 1.0
    assert {each.propensity for each in result.decisions[0].alternatives} == {0.0}


def test_a_step_is_judged_by_no_forecast_of_a_metric_that_amounts_hold_down() -> None:
    (action,) = make_plans(question(Move.RELIEVE, 5.0)).actions
    assert action.series is None


def test_the_decision_says_why_it_goes_and_what_would_let_it_be_planned() -> None:
    (decision,) = make_plans(question(Move.RELIEVE, 5.0)).decisions
    assert "one step" in decision.explanation
    assert "name `driver` and `capacity` of the objective age" in decision.explanation
    assert decision.strategy is Strategy.ADAPTIVE


@pytest.mark.parametrize("move", [Move.STAY, Move.WAIT, Move.HOPELESS])
def test_where_it_stays_nothing_is_done_and_the_reason_is_told(move: Move) -> None:
    result = make_plans(question(move, 4.0))
    assert result.actions == ()
    assert result.decisions[0].chosen.action == NOTHING
    assert "workers goes on" in result.decisions[0].explanation


def test_a_step_that_is_declared_to_harm_something_graver_is_not_taken() -> None:
    asked = question(Move.RELIEVE, 5.0)
    assert make_plans(with_declared(asked, 3.0, level=60.0)).actions != ()
    told = make_plans(with_declared(asked, 15.0, level=95.0))
    assert told.actions == ()
    assert "more harm than good, to database" in str(told.decisions[0].alternatives)


def test_what_a_unit_more_relieves_a_unit_less_strains() -> None:
    asked = question(Move.GIVE_BACK, 3.0, saving())
    assert make_plans(with_declared(asked, 15.0, level=95.0)).actions != ()
    assert make_plans(with_declared(asked, -15.0, level=95.0)).actions == ()


def test_less_is_set_for_a_goal_to_save_and_for_no_goal_that_a_bound_raised() -> None:
    assert make_plans(question(Move.GIVE_BACK, 3.0)).actions == ()
    (action,) = make_plans(question(Move.GIVE_BACK, 3.0, saving())).actions
    assert action.params == {"amount": 3.0}
    assert make_plans(question(Move.RELIEVE, 5.0, saving())).actions == ()


def test_a_goal_that_the_amount_is_not_for_moves_it_not() -> None:
    shift = goal_of("shift", series="disk")
    result = make_plans(question(Move.RELIEVE, 5.0, shift, objectives={"age": AGE}))
    assert result.actions == ()
    assert "for age alone" in result.decisions[0].explanation


def test_a_step_that_waits_for_approval_gives_way_once_another_one_is_next() -> None:
    waits = Commitment("a", "g", "set", "set", TICK, TICK + timedelta(hours=1), params={"amount": 5.0})
    assert make_plans(question(Move.RELIEVE, 5.0, commitments=(waits,))).dropped == ()
    for move, to in ((Move.RELIEVE, 7.0), (Move.STAY, 4.0)):
        (dropped,) = make_plans(question(move, to, commitments=(waits,))).dropped
        assert dropped.action_id == "a"


def test_the_metric_is_not_held_for_measuring_between_two_steps() -> None:
    earlier = Commitment(
        "a", "g", "set", "other", TICK, TICK + timedelta(hours=1), series="age", params={"amount": 4.0}, is_started=True
    )
    assert len(make_plans(question(Move.RELIEVE, 5.0, commitments=(earlier,))).actions) == 1


@pytest.mark.parametrize(("duration_s", "is_tried"), [(60.0, False), (None, True)])
def test_what_wears_off_before_the_breach_is_not_tried_in_order_to_learn(
    duration_s: float | None, is_tried: bool
) -> None:
    paths = np.full((40, 60), 50.0)
    paths[:, 30:] = 92.0
    questions = (
        problem_of(
            [goal_of("g", series="cpu")],
            {"g": [Candidate(action="safe", target="t")]},
            traits={"safe": safe(duration_s=duration_s)},
            paths={"cpu": paths},
            explore=True,
            seed=seed,
        )
        for seed in range(20)
    )
    assert any(make_plans(each).actions for each in questions) is is_tried


def test_two_actions_that_set_one_amount_take_one_step_and_the_decision_says_so() -> None:
    offers = [Candidate(action=name, params={"amount": 5.0}, target=name) for name in ("set", "scale")]
    traits = {name: safe(name, sets="workers", amounts=(4.0, 5.0)) for name in ("set", "scale")}
    asked = question(Move.RELIEVE, 5.0, traits=traits)
    result = make_plans(replace(asked, candidates={"g": tuple(offers)}))
    assert len(result.actions) == 1
    said = "set and scale set workers alike: it is one amount, and one of them is taken."
    assert said in result.decisions[0].explanation
    assert "alike" not in make_plans(question(Move.RELIEVE, 5.0)).decisions[0].explanation
