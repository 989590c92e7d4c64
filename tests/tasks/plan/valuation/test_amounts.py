"""Goals on one capacity are planned together, with what was added and does not work yet, and told in plain English."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from pydantic import ValidationError

from storage.records import NOTHING, Candidate, Decision, FloatArray, Frame, Objective, ResponseSpec, Strategy
from tasks.drivers.fitting import fit_driven
from tasks.drivers.responses import RatioResponse, response_of
from tasks.plan import AmountRules, PlanProblem, make_plans, plan_amounts
from tasks.plan.problem import Commitment, PlanResult
from tests.tasks.plan.valuation.test_stepped_amounts import with_declared
from tests.tasks.plan.worlds import TICK, KnownEffects, goal_of, problem_of, safe, view_of

BUSY = Objective(
    name="busy", metric="load", bound=0.8, spread=0.1, severity=1.0, driver="rate", capacity="servers", horizon_s=1_800
)
IDLE = BUSY.model_copy(update={"name": "idle", "side": "above", "bound": 0.5, "severity": 0.05})


def question(level: FloatArray, now: float, goals: tuple[str, ...] = ("busy",), **more: object) -> PlanProblem:
    objectives = {"busy": BUSY, "idle": IDLE}
    mine = [
        goal_of(name, series="load", objective=name, bound=objectives[name].bound, side=objectives[name].side)
        for name in goals
    ]
    offers = [Candidate(action="set", params={"amount": n}, latency_s=180.0, target="set") for n in range(1, 9)]
    traits = {"set": safe(sets="servers", unit_cost=0.01, most_up=1.0)}
    problem = problem_of(mine, dict.fromkeys(goals, offers), traits=traits)
    fields: dict[str, object] = {
        "objectives": objectives,
        "paths": {"rate": level * np.random.default_rng(0).normal(1.0, 0.02, (40, len(level)))},
        "step_s": {"rate": 60.0},
        "capacities": {"servers": now},
        "responses": {"busy": RatioResponse(1.0), "idle": RatioResponse(1.0)},
    }
    return replace(problem, **(fields | more))  # type: ignore[arg-type]


def amounts(result: PlanResult) -> list[float]:
    return [action.params["amount"] for action in result.actions]


def only(result: PlanResult) -> Decision:
    (decision,) = result.decisions
    return decision


class TestTogether:
    def test_two_goals_on_one_capacity_get_one_action_that_serves_both(self) -> None:
        result = make_plans(question(np.full(30, 1.0), 6.0, ("busy", "idle"), margin=0.0))
        assert amounts(result) == [2]
        assert {decision.strategy for decision in result.decisions} == {Strategy.COLLABORATIVE}
        assert {decision.chosen.action for decision in result.decisions} == {"set"}

    def test_serving_both_does_not_count_the_gain_twice(self) -> None:
        alone = only(make_plans(question(np.full(30, 1.0), 6.0, ("idle",), margin=0.0)))
        both = make_plans(question(np.full(30, 1.0), 6.0, ("busy", "idle"), margin=0.0)).decisions
        assert max(each.chosen.value for each in both) <= alone.chosen.value + 0.5

    def test_chance_has_no_part_where_the_response_is_known(self) -> None:
        for seed in range(30):
            result = make_plans(question(np.full(30, 5.0), 3.0, nothing_floor=0.5, explore=True, seed=seed))
            assert amounts(result) == [4]
            assert result.actions[0].propensity == 1.0

    def test_what_an_action_was_measured_to_do_elsewhere_does_not_shrink_a_known_response(self) -> None:
        sober = make_plans(question(np.full(30, 5.0), 3.0, beliefs=KnownEffects({"set": -2.0})))
        assert amounts(sober) == [4]

    def test_an_amount_that_is_declared_to_harm_something_graver_is_not_set(self) -> None:
        asked = with_declared(question(np.full(30, 5.0), 3.0), 15.0, level=95.0)
        assert amounts(make_plans(with_declared(asked, 3.0, level=60.0))) == [4]
        refused = only(make_plans(asked))
        assert refused.chosen.action == NOTHING
        assert "more harm than good, to database" in refused.explanation


class TestInFlight:
    def test_nothing_changes_until_what_was_added_works(self) -> None:
        booting = Commitment(
            "a", "old", "set", "set", TICK - timedelta(minutes=1), TICK + timedelta(minutes=9), "load", {"amount": 3},
            is_started=True, sets="servers", rises_until=TICK + timedelta(minutes=2),
        )  # fmt: skip
        waiting = only(make_plans(question(np.full(30, 5.0), 3.0, commitments=(booting,))))
        assert waiting.explanation.startswith("Wait: set to 4 is worth most in 2 minutes")
        assert "works from" in waiting.explanation
        assert any("the last increase of servers by set works from" in reason for reason in waiting.blocked_by)

    def test_an_increase_without_latency_helps_at_once(self) -> None:
        losses = np.array([[1.0, 0.0]])
        assert plan_amounts(losses, np.array([1.0, 2.0]), 1.0, AmountRules(0)).best == 2.0
        assert plan_amounts(losses, np.array([1.0, 2.0]), 1.0, AmountRules(1, unit_cost=0.1)).best == 1.0

    def test_what_helps_now_is_not_put_off_where_the_forecasts_steps_are_longer_than_the_slots(self) -> None:
        """Slots of two seconds within one step of a minute: the last of them is beyond the next round, every time."""
        asked = question(np.full(30, 5.0), 3.0, slot_s=2.0, cycle_s=30.0)
        dear = tuple(each.model_copy(update={"cost": 0.001}) for each in asked.candidates["busy"])
        result = make_plans(replace(asked, candidates={"busy": dear}))
        assert amounts(result) == [4]
        assert result.actions[0].due_at == TICK


class TestTelling:
    def test_an_increase_is_told_by_driver_metric_latency_and_runner_up(self) -> None:
        decision = only(make_plans(question(np.full(30, 5.0), 3.0)))
        text = decision.explanation
        assert text.startswith("set to 4 now: servers goes from 3 to 4, which works after 3 minutes.")
        assert "the highest value of rate is 5." in text
        assert "load then reaches 1.7" in text
        assert "at 3, 1.2" in text
        assert "it should be at most 0.8" in text
        # Fewer servers than are overloaded already are no alternative.
        assert "Doing nothing is worth" in text

    def test_what_is_out_of_reach_is_said_once(self) -> None:
        decision = only(make_plans(question(np.full(30, 5.0), 3.0)))
        assert "set: servers rises by at most 1 at a time" in decision.blocked_by
        assert len(decision.blocked_by) == len(set(decision.blocked_by))
        listed = {each.params.get("amount") for each in decision.alternatives}
        assert listed == {1, 2, 3, 5, 6, 7, 8, None}

    def test_staying_is_told_with_what_comes_next(self) -> None:
        decision = only(make_plans(question(np.full(30, 2.6), 4.0)))
        assert decision.chosen.action == NOTHING
        assert decision.explanation.startswith("Nothing: servers stays at 4.")
        assert "is next best" in decision.explanation


class TestDeclaredResponses:
    def frame(self, active: list[float]) -> Frame:
        rows = np.stack([np.full(len(active), 100.0), np.array(active), np.full(len(active), 0.5)])
        return Frame(series=("rate", "active", "dimmer"), values=rows, end=TICK, step_s=60.0)

    def objective(self, **spec: object) -> Objective:
        response = ResponseSpec.model_validate({"form": "product", "work": 0.04, "per": "active", **spec})
        return Objective(
            name="content", metric="load", bound=0.8, driver="rate", capacity="dimmer", response=response
        )  # fmt: skip

    def load_at(self, active: list[float], **spec: object) -> float:
        found = fit_driven([self.objective(**spec)], [self.frame(active)])
        return float(found.responses["content"].metric(np.array(100.0), np.array(1.0)))

    def test_the_driver_is_shared_out_by_what_is_there_now(self) -> None:
        assert self.load_at([4.0, 4.0, 5.0]) == pytest.approx(100 * 0.04 / 5)

    def test_what_was_added_lately_works_slower_and_warms_up(self) -> None:
        slow = {"slow_start_ratio": 1.0, "slow_start_s": 120.0}
        warm, fresh = self.load_at([5.0] * 60, **slow), self.load_at([4.0] * 59 + [5.0], **slow)
        later = self.load_at([4.0] * 55 + [5.0] * 5, **slow)
        assert warm == pytest.approx(0.8)
        assert fresh == pytest.approx(0.8 * (1 + np.exp(-30 / 120)))
        assert warm < later < fresh

    def test_what_was_taken_away_leaves_the_rest_as_fast_as_it_was(self) -> None:
        assert self.load_at([5.0, 4.0], slow_start_ratio=1.0) == pytest.approx(1.0)

    def test_without_the_series_that_shares_it_out_the_objective_is_planned_like_any_other(self) -> None:
        assert fit_driven([self.objective(per="gone")], [self.frame([4.0])]).responses == {}

    def test_every_form_can_be_stated(self) -> None:
        ones = np.ones(1)
        stated = {
            "ratio": ({"work": 2.0, "base": 1.0}, 3.0),
            "queue": ({"work": 0.5, "service": 1.0}, 2.0),
            "product": ({"work": 2.0, "base": 1.0}, 3.0),
            "capacity": ({}, 1.0),
        }
        for form, (numbers, expected) in stated.items():
            response = response_of(ResponseSpec.model_validate({"form": form, **numbers}))
            assert response.metric(ones, ones) == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("spec", "missing"),
        [
            ({"form": "ratio"}, "work"),
            ({"form": "queue", "work": 1.0}, "service"),
            ({"form": "ratio", "work": 1.0, "slow_start_ratio": 1.0}, "per"),
            ({"form": "cubic"}, "form"),
        ],
    )
    def test_what_a_form_lacks_is_named(self, spec: dict[str, object], missing: str) -> None:
        with pytest.raises(ValidationError, match=missing):
            ResponseSpec.model_validate(spec)

    def test_a_response_needs_a_driver(self) -> None:
        with pytest.raises(ValidationError, match="driver and capacity"):
            Objective(name="a", metric="m", bound=1, response=ResponseSpec(form="capacity"))


def test_a_driven_goal_that_is_blocked_by_nothing_is_planned_without_its_series_being_forecast() -> None:
    problem = question(np.full(30, 5.0), 3.0)
    assert "load" not in problem.paths
    assert amounts(make_plans(replace(problem, goals=(view_of(problem.goals[0].goal),)))) == [4]
