"""What would have changed a decision is found by solving again, and holds when it is solved once more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from handlers import ActionsByName
from storage.records import Candidate, Decision, FlipPoint, Objective
from tasks.drivers.responses import RatioResponse
from tasks.plan import PlanProblem, flip_points, make_plans
from tasks.plan.flip_points import with_flip_points
from tests.tasks.plan.worlds import SAFE, KnownEffects, crowd, goal_of, problem_of, rising_paths, safe, view_of


def two_ways(**more: object) -> PlanProblem:
    offers = [
        Candidate(action="strong", target="t", cost=0.02, latency_s=60),
        Candidate(action="weak", target="t", cost=0.01, latency_s=60),
    ]
    return problem_of([goal_of()], {"g": offers}, KnownEffects({"strong": 1.0, "weak": 0.5}), **more)


def told(problem: PlanProblem) -> Decision:
    (decision,) = with_flip_points(problem, make_plans(problem).decisions)
    return decision


def point(decision: Decision, varied: str, action: str = "") -> FlipPoint:
    return next(each for each in decision.flip_points if (each.varied, each.action) == (varied, action))


def chosen(problem: PlanProblem) -> str:
    return make_plans(problem).decisions[0].chosen.action


def test_below_the_breach_probability_told_it_waits_and_above_it_acts() -> None:
    problem = two_ways()
    flip = point(told(problem), "breach_probability")
    assert flip.instead == "nothing"
    assert flip.at < flip.was
    assert flip.sentence.startswith("It would have waited had cpu been forecast")
    for lower in range(0, 30):
        paths = problem.paths["cpu"] - lower
        moved = replace(problem, paths={"cpu": paths})
        breach = float((paths.max(axis=1) > 90.0).mean())
        if abs(breach - flip.at) > 0.05:
            assert (chosen(moved) == "nothing") == (breach < flip.at)


@pytest.mark.parametrize("step", [-0.002, 0.002])
def test_at_the_cost_told_the_choice_changes_and_just_before_it_does_not(step: float) -> None:
    problem = two_ways()
    decision = told(problem)
    flip = point(decision, "cost", "strong")
    slot_share = decision.chosen.cost / 0.02 if decision.chosen.cost else 1.0
    offers = tuple(
        each.model_copy(update={"cost": flip.at / slot_share + step}) if each.action == "strong" else each
        for each in problem.candidates["g"]
    )
    after = chosen(replace(problem, candidates={"g": offers}))
    assert (after == flip.instead) == (step > 0)
    assert (after == "strong") == (step < 0)


def test_an_alternative_tells_which_gain_would_have_made_it_the_choice() -> None:
    decision = told(two_ways())
    flip = point(decision, "gain", "weak")
    assert flip.instead == "weak"
    weak = next(each for each in decision.alternatives if each.action == "weak")
    assert flip.was == pytest.approx(weak.gain)
    assert flip.at > flip.was
    assert weak.gain is not None
    assert weak.cost is not None
    assert weak.value == pytest.approx(weak.gain - weak.cost)


def test_what_waits_for_want_of_risk_tells_from_when_on_it_would_have_acted() -> None:
    calm = two_ways(paths={"cpu": rising_paths(high=80.0)})
    assert chosen(calm) == "nothing"
    flip = point(told(calm), "breach_probability")
    assert flip.instead in {"strong", "weak"}
    assert flip.at > flip.was


def test_a_metric_without_paths_is_told_by_its_breach_probability_alone() -> None:
    decision = told(two_ways(paths={}))
    flip = point(decision, "breach_probability")
    assert flip.was == pytest.approx(0.8)
    assert f"under P(breach) {flip.at:.0%}".replace("%", " %") in flip.sentence


def test_what_was_drawn_by_chance_has_no_flip_points() -> None:
    problem = two_ways(nothing_floor=0.5)
    drawn = [make_plans(replace(problem, seed=seed)).decisions[0] for seed in range(12)]
    by_chance = [seed for seed, each in enumerate(drawn) if each.chosen.action == "nothing"]
    assert by_chance
    (decision,) = with_flip_points(replace(problem, seed=by_chance[0]), [drawn[by_chance[0]]])
    assert decision.flip_points == ()


def test_telling_flip_points_changes_no_decision() -> None:
    problem = crowd(6)
    before = make_plans(problem).decisions
    after = with_flip_points(problem, before)
    assert [each.model_copy(update={"flip_points": ()}) for each in after] == list(before)


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_where_cost_counts_for_nothing_no_cost_is_told(weight: float) -> None:
    problem = two_ways()
    objectives = {name: each.model_copy(update={"cost_weight": weight}) for name, each in problem.objectives.items()}
    decision = told(replace(problem, objectives=objectives))
    assert any(each.varied == "cost" for each in decision.flip_points) == (weight > 0)


def test_a_driver_without_paths_this_turn_is_not_moved() -> None:
    problem = two_ways()
    objectives = {name: each.model_copy(update={"driver": "requests"}) for name, each in problem.objectives.items()}
    driven = replace(problem, objectives=objectives, responses=dict.fromkeys(objectives, object()))
    assert chosen(driven) == chosen(problem)
    assert all("requests" not in each.sentence for each in told(driven).flip_points)


@pytest.mark.parametrize(("target", "has_points"), [("elsewhere", True), ("t", False)])
def test_a_goal_that_plans_amounts_takes_flip_points_only_from_those_it_competes_with(
    target: str, has_points: bool
) -> None:
    problem, amounts = two_ways(), goal_of("amounts", series="load")
    planned = Objective(name="load", metric="load", bound=0.8, driver="rate", capacity="servers")
    decisions = make_plans(problem).decisions
    beside = replace(
        problem,
        goals=(*problem.goals, view_of(amounts)),
        objectives={**problem.objectives, "load": planned},
        candidates={**problem.candidates, "amounts": (Candidate(action="set", target=target, params={"amount": 4}),)},
        traits=ActionsByName({"strong": SAFE, "weak": SAFE, "set": safe("set", sets="servers")}),
        responses={"load": RatioResponse(work=1.0)},
        capacities={"servers": 3.0},
    )
    (decision,) = with_flip_points(beside, decisions)
    assert bool(decision.flip_points) == has_points
    (alone,) = with_flip_points(problem, decisions)
    assert not has_points or decision.flip_points == alone.flip_points


def test_a_crowd_of_goals_is_solved_for_no_more_often_than_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, solved = crowd(4), []
    decisions = make_plans(problem).decisions
    real = flip_points.decide
    monkeypatch.setattr(flip_points, "decide", lambda *args: (solved.append(args), real(*args))[1])
    with_flip_points(problem, decisions)
    assert 0 < len(solved) <= flip_points.MOST_SOLVES
