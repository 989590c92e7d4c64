"""Plans hold their constraints, say what they weighed, and draw with known probabilities."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers import ActionHandler, elsewhere
from storage.records import NOTHING, Autonomy, Candidate, GoalState, GoalType, Objective, Strategy
from tasks.plan import PlanProblem, make_plans
from tasks.plan.problem import Commitment, PlanResult
from tasks.plan.valuation.priors import PriorBeliefs
from tests import sized
from tests.tasks.plan.worlds import SAFE, TICK, KnownEffects, crowd, goal_of, problem_of, rising_paths, safe, view_of

LIMIT = Candidate(action="limit", target="p", cost=0.02, latency_s=10)
RENICE = Candidate(action="renice", target="p", cost=0.01, latency_s=10)
EFFECTS = KnownEffects({"limit": 1.5, "renice": 0.02})
NOW = {"cpu": rising_paths(low=92.0, high=100.0)}


def simple(**more: object) -> PlanProblem:
    base = problem_of([goal_of(in_s=0.0)], {"g": [LIMIT, RENICE]}, EFFECTS, paths=NOW)
    return replace(base, **more)  # type: ignore[arg-type]


class TestChoice:
    def test_the_action_that_helps_is_chosen_and_the_other_listed_with_its_reason(self) -> None:
        (decision,) = make_plans(simple()).decisions
        assert decision.chosen.action == "limit"
        assert {each.action for each in decision.alternatives} == {"renice", NOTHING}
        assert all(each.reason for each in decision.alternatives)

    def test_the_action_carries_all_that_is_needed_to_judge_it(self) -> None:
        (action,) = make_plans(simple()).actions
        assert (action.name, action.target, action.series, action.bound) == ("limit", "p", "cpu", 90.0)
        assert action.due_at == TICK < action.expires_at
        assert action.forecast_cycle_id == "cycle-1"

    def test_a_small_gain_is_not_worth_acting_for(self) -> None:
        (decision,) = make_plans(simple(beliefs=KnownEffects({"limit": 0.1}))).decisions
        assert decision.chosen.action == NOTHING
        assert "30 %" in decision.explanation

    def test_a_low_margin_lets_a_small_gain_through(self) -> None:
        (decision,) = make_plans(simple(beliefs=KnownEffects({"limit": 0.5}, sd=0.01), margin=0.01)).decisions
        assert decision.chosen.action == "limit"

    @pytest.mark.parametrize("severity", [0.5, 0.95])
    def test_an_action_of_which_nothing_is_known_is_taken_where_the_metric_stands_out_of_all_that_is_usual(
        self, severity: float
    ) -> None:
        view = view_of(goal_of(severity=severity, in_s=0.0))
        far = {"cpu": np.full((64, 20), 130.0)}
        unknown = PriorBeliefs()
        usual = simple(beliefs=unknown, goals=(view,), paths=far, series_sd={"cpu": 10.0}, explore=False)
        (left,) = make_plans(usual).decisions
        (taken,) = make_plans(replace(usual, off_usual_sd={"g": 12.0})).decisions
        assert (left.chosen.action, taken.chosen.action != NOTHING) == (NOTHING, True)

    def test_an_action_that_costs_more_than_it_saves_is_left(self) -> None:
        dear = LIMIT.model_copy(update={"cost": 5.0})
        (decision,) = make_plans(simple(candidates={"g": (dear,)})).decisions
        assert decision.chosen.action == NOTHING
        assert "is expected to cost more than it saves" in decision.explanation
        assert decision.alternatives[0].reason == "it is expected to cost more than it saves"

    def test_an_action_that_makes_it_worse_is_left(self) -> None:
        (decision,) = make_plans(simple(beliefs=KnownEffects({"limit": -1.0, "renice": -1.0}))).decisions
        assert decision.chosen.action == NOTHING
        assert "is expected to do more harm than good" in decision.explanation

    def test_without_any_candidate_nothing_is_done_and_said_so(self) -> None:
        (decision,) = make_plans(simple(candidates={})).decisions
        assert decision.chosen.action == NOTHING
        assert "no registered action" in decision.explanation

    def test_a_quiet_future_needs_nothing(self) -> None:
        (decision,) = make_plans(
            simple(paths={"cpu": rising_paths(low=20, high=30)}, goals=(view_of(goal_of(in_s=60)),))
        ).decisions
        assert "no simulated future" in decision.explanation

    def test_blocked_and_closed_goals_are_left_as_they_are(self) -> None:
        goals = tuple(view_of(goal_of(), state) for state in (GoalState.BLOCKED, GoalState.ACHIEVED))
        assert make_plans(simple(goals=goals)) == PlanResult()

    def test_the_same_problem_gives_the_same_plan(self) -> None:
        problem = crowd(explore=True, nothing_floor=0.05)
        assert make_plans(problem) == make_plans(problem)

    def test_the_explanation_names_runner_up_and_what_it_would_cost(self) -> None:
        better = KnownEffects({"limit": 1.5, "renice": 0.8})
        (decision,) = make_plans(simple(beliefs=better)).decisions
        assert "The next best is renice on p, worth" in decision.explanation


class TestGuards:
    def test_observe_keeps_an_action_out(self) -> None:
        levels = {(GoalType.BOTTLENECK_PREVENTION, "limit"): Autonomy.OBSERVE}
        (decision,) = make_plans(simple(levels=levels)).decisions
        assert decision.chosen.action == NOTHING
        assert decision.blocked_by == ("limit: its autonomy level for BOTTLENECK_PREVENTION is observe",)

    def test_a_cooldown_keeps_an_action_out_until_it_is_over(self) -> None:
        cooling = {("limit", "p"): TICK + timedelta(minutes=5)}
        result = make_plans(simple(cooldown_until=cooling, cycle_s=3_600.0))
        assert all(action.due_at >= TICK + timedelta(minutes=5) for action in result.actions)
        assert any("in its cooldown until" in reason for reason in result.decisions[0].blocked_by)

    @pytest.mark.parametrize("level", [Autonomy.AUTO, Autonomy.APPROVE])
    def test_what_seems_to_harm_is_planned_no_more_before_it_was_measured_but_a_person_may_be_asked(
        self, level: Autonomy
    ) -> None:
        pair = (GoalType.BOTTLENECK_PREVENTION, "limit")
        doubted = {":".join(pair): TICK + timedelta(minutes=5)}
        problem = simple(doubted_until=doubted, levels={pair: level}, cycle_s=3_600.0)
        (decision,) = make_plans(problem).decisions
        is_held = any("seem to harm" in reason for reason in decision.blocked_by)
        assert is_held == (level is Autonomy.AUTO)

    def test_an_act_that_the_paths_cannot_show_is_not_done_again_while_it_works(self) -> None:
        working = {("limit", "cpu"): TICK + timedelta(minutes=5)}
        result = make_plans(simple(in_force_until=working, cycle_s=3_600.0))
        assert all(action.due_at >= TICK + timedelta(minutes=5) for action in result.actions if action.name == "limit")
        assert any("works until" in reason for reason in result.decisions[0].blocked_by)

    def test_a_metric_that_is_being_measured_is_left_alone(self) -> None:
        other = Commitment(
            "x", "other", "boost", "q", TICK - timedelta(minutes=1), TICK + timedelta(hours=2), "cpu", is_started=True
        )
        (decision,) = make_plans(simple(commitments=(other,))).decisions
        assert decision.chosen.action == NOTHING
        assert "still being measured" in decision.blocked_by[0]

    def test_an_action_that_only_informs_holds_nothing_up(self) -> None:
        note = Commitment("x", "g", "analyze", "", TICK, TICK + timedelta(hours=2), "cpu")
        traits = {"limit": SAFE, "renice": SAFE, "analyze": elsewhere("analyze", informs_only=True)}
        (decision,) = make_plans(simple(commitments=(note,), traits=traits)).decisions
        assert decision.chosen.action == "limit"

    def test_what_a_guard_protects_must_be_well_before_protection_is_taken_away(self) -> None:
        ours = Objective(name="cpu", metric="cpu", bound=90, severity=0.6, guards=("latency",))
        slow = view_of(goal_of("slow", series="latency", severity=0.8))
        goals = (view_of(goal_of(in_s=0.0)), slow)
        decisions = make_plans(simple(goals=goals, objectives={"cpu": ours})).decisions
        mine = next(each for each in decisions if each.goal_id == "g")
        assert mine.chosen.action == NOTHING
        assert "guard metric latency" in mine.blocked_by[0]

    def test_rubbish_numbers_in_a_candidate_keep_it_out(self) -> None:
        bad = LIMIT.model_copy(update={"cost": float("nan")})
        (decision,) = make_plans(simple(candidates={"g": (bad,)})).decisions
        assert "is not a number" in decision.blocked_by[0]


class TestInforming:
    analyze = Candidate(action="analyze")

    @property
    def traits(self) -> dict[str, ActionHandler]:
        return {"analyze": elsewhere("analyze", risk="low", informs_only=True), "limit": SAFE, "renice": SAFE}

    def levels(self) -> dict[tuple[GoalType, str], Autonomy]:
        return {(GoalType.BOTTLENECK_PREVENTION, name): Autonomy.AUTO for name in self.traits}

    def plan(self, **more: object) -> PlanResult:
        offers = {"g": (LIMIT, RENICE, self.analyze)}
        return make_plans(simple(candidates=offers, traits=self.traits, levels=self.levels(), **more))

    def test_a_new_goal_gets_one_information_action_beside_its_plan(self) -> None:
        result = self.plan()
        assert sorted(action.name for action in result.actions) == ["analyze", "limit"]
        assert set(result.plans[0].action_ids) == {action.action_id for action in result.actions}

    def test_a_goal_that_was_informed_gets_none_again(self) -> None:
        assert [action.name for action in self.plan(informed=frozenset({"g"})).actions] == ["limit"]

    def test_it_is_given_where_nothing_else_may_be_done(self) -> None:
        result = make_plans(simple(candidates={"g": (self.analyze,)}, traits=self.traits, levels=self.levels()))
        assert [action.name for action in result.actions] == ["analyze"]

    def test_two_goals_share_one(self) -> None:
        goals = tuple(view_of(goal_of(name)) for name in ("g", "h"))
        offers = {"g": (self.analyze,), "h": (self.analyze,)}
        result = make_plans(simple(goals=goals, candidates=offers, traits=self.traits, levels=self.levels()))
        assert len(result.actions) == 1
        assert len(result.plans) == 2


class TestStrategies:
    def strategy(self, **goal: object) -> Strategy:
        return make_plans(simple(goals=(view_of(goal_of(**goal)),))).decisions[0].strategy

    def test_critical_and_urgent_is_immediate(self) -> None:
        assert self.strategy(severity=0.8, in_s=30) is Strategy.IMMEDIATE

    def test_a_far_deadline_is_scheduled(self) -> None:
        assert self.strategy(severity=0.8, in_s=1_700) is Strategy.SCHEDULED

    def test_the_rest_is_adaptive(self) -> None:
        assert self.strategy(severity=0.3, in_s=300) is Strategy.ADAPTIVE

    def test_goals_on_one_metric_are_collaborative(self) -> None:
        goals = tuple(view_of(goal_of(name, severity=0.3, in_s=300)) for name in ("g", "h"))
        strategies = {each.strategy for each in make_plans(simple(goals=goals)).decisions}
        assert strategies == {Strategy.COLLABORATIVE}

    def test_what_was_learned_comes_first(self) -> None:
        learned = {GoalType.BOTTLENECK_PREVENTION: Strategy.ADAPTIVE}
        (decision,) = make_plans(simple(strategies=learned)).decisions
        assert decision.strategy is Strategy.ADAPTIVE

    def late_peak(self, strategy: Strategy) -> PlanResult:
        traits = dict.fromkeys(("limit", "renice"), safe(duration_s=600.0))
        paths = {"cpu": np.tile(np.where(np.arange(60) >= 15, 100.0, 70.0), (20, 1))[:, :25]}
        chosen = {GoalType.BOTTLENECK_PREVENTION: strategy}
        return make_plans(simple(strategies=chosen, traits=traits, paths=paths))

    def test_scheduled_freezes_the_slot_before_the_peak(self) -> None:
        (action,) = self.late_peak(Strategy.SCHEDULED).actions
        assert timedelta(minutes=12) <= action.due_at - TICK <= timedelta(minutes=15)

    def test_adaptive_waits_for_the_peak_without_committing(self) -> None:
        result = self.late_peak(Strategy.ADAPTIVE)
        assert result.actions == ()
        assert result.decisions[0].explanation.startswith("Wait: limit")

    def test_immediate_acts_now_or_not_at_all(self) -> None:
        result = self.late_peak(Strategy.IMMEDIATE)
        assert all(action.due_at == TICK for action in result.actions)

    def test_one_action_serves_every_goal_of_its_group_it_helps(self) -> None:
        goals = [goal_of(name, series=name, severity=0.5, in_s=300) for name in ("g", "h")]
        problem = problem_of(goals, {"g": [LIMIT], "h": [LIMIT]}, EFFECTS)
        paths = {name: rising_paths(index, low=92, high=100) for index, name in enumerate(("g", "h"))}
        result = make_plans(replace(problem, paths=paths))
        assert len(result.actions) == 1
        assert [each.chosen.action for each in result.decisions] == ["limit", "limit"]
        assert result.plans[0].action_ids == result.plans[1].action_ids

    def test_opposed_goals_do_not_both_get_their_way(self) -> None:
        low = goal_of("low", severity=0.8, in_s=300)
        high = goal_of("high", severity=0.3, in_s=300, side="above", bound=95.0)
        push = Candidate(action="push", target="q", latency_s=10)
        problem = problem_of([low, high], {"low": [LIMIT], "high": [push]}, KnownEffects({"limit": 1.5, "push": 1.5}))
        result = make_plans(replace(problem, paths=NOW))
        assert [action.name for action in result.actions] == ["limit"]


class TestCommitment:
    kept = Commitment("a1", "g", "renice", "p", TICK + timedelta(minutes=5), TICK + timedelta(minutes=15), "cpu")

    def test_a_plan_is_given_up_for_one_that_beats_the_cost_of_switching(self) -> None:
        result = make_plans(simple(commitments=(self.kept,)))
        assert [each.action_id for each in result.dropped] == ["a1"]
        assert result.actions[0].name == "limit"

    def test_a_plan_stands_against_a_slightly_better_one(self) -> None:
        close = KnownEffects({"limit": 1.5, "renice": 1.45})
        result = make_plans(simple(commitments=(self.kept,), beliefs=close))
        assert (result.dropped, result.actions, result.decisions) == ((), (), ())

    def test_a_frozen_slot_stands_against_anything(self) -> None:
        frozen = replace(self.kept, strategy=Strategy.SCHEDULED)
        assert make_plans(simple(commitments=(frozen,))).dropped == ()

    def test_a_plan_that_is_no_longer_offered_is_given_up(self) -> None:
        result = make_plans(simple(commitments=(replace(self.kept, target="gone"),)))
        assert "no longer offered" in result.dropped[0].reason

    def test_a_plan_whose_goal_closed_is_given_up(self) -> None:
        result = make_plans(simple(commitments=(replace(self.kept, goal_id="old"),)))
        assert "is closed" in result.dropped[0].reason


class TestDrawing:
    def many(self, **more: object) -> list[PlanResult]:
        return [make_plans(simple(seed=seed, **more)) for seed in range(sized(100, 300))]

    def test_propensities_sum_to_one_and_the_logged_one_is_that_of_what_was_drawn(self) -> None:
        for result in self.many(explore=True, nothing_floor=0.05):
            (decision,) = result.decisions
            total = decision.chosen.propensity + sum(each.propensity for each in decision.alternatives)
            assert total == pytest.approx(1.0)
            for action in result.actions:
                assert action.propensity == decision.chosen.propensity > 0

    def test_what_is_drawn_is_drawn_as_often_as_logged(self) -> None:
        results = self.many(explore=True, nothing_floor=0.2)
        counts = Counter(result.decisions[0].chosen.action for result in results)
        expected = {each.action: each.propensity for each in results[0].decisions[0].alternatives}
        expected[results[0].decisions[0].chosen.action] = results[0].decisions[0].chosen.propensity
        for action, propensity in expected.items():
            assert counts[action] / len(results) == pytest.approx(propensity, abs=sized(14, 8) / 100)

    def test_doing_nothing_keeps_its_floor(self) -> None:
        results = self.many(nothing_floor=0.3)
        idle = [result for result in results if not result.actions]
        assert len(idle) / len(results) == pytest.approx(0.3, abs=sized(14, 8) / 100)
        assert "Nothing, on purpose" in idle[0].decisions[0].explanation

    @pytest.mark.parametrize("explore", [False, True])
    def test_a_severe_objective_is_never_left_alone_by_chance(self, explore: bool) -> None:
        severe = (view_of(goal_of(severity=0.95, in_s=0.0)),)
        assert all(result.actions for result in self.many(goals=severe, nothing_floor=0.3, explore=explore))

    def test_without_a_holdout_nothing_is_left_undone_in_order_to_learn(self) -> None:
        assert all(result.actions for result in self.many(explore=True, nothing_floor=0.0))

    def test_a_chance_of_doing_nothing_lasts_a_measurement_window(self) -> None:
        drawn = []
        for minute in range(9):
            tick = TICK + timedelta(minutes=minute)
            drawn.append(make_plans(simple(tick=tick, nothing_floor=0.5)).decisions[0].chosen.action)
        assert len(set(drawn)) == 1

    @pytest.mark.parametrize("traits", [safe(risk="medium"), safe(reversible=False)])
    def test_risky_or_irreversible_actions_are_not_tried_out(self, traits: ActionHandler) -> None:
        unknown = KnownEffects({}, sd=0.9)
        results = self.many(beliefs=unknown, explore=True, traits={"limit": traits, "renice": traits})
        assert not any(result.actions for result in results)

    def test_a_safe_unknown_action_is_tried_out(self) -> None:
        results = self.many(beliefs=KnownEffects({}, sd=0.9), explore=True)
        assert 0.1 < np.mean([bool(result.actions) for result in results]) < 0.8

    def test_what_cannot_be_undone_is_tried_where_it_was_said_that_it_may_be_done_and_nothing_known_helps(self) -> None:
        said = dict.fromkeys(("limit", "renice"), safe(reversible=False, level="auto"))
        results = self.many(beliefs=KnownEffects({}, sd=0.9), explore=True, traits=said)[:60]
        assert any(result.actions for result in results)
        known = {"limit": SAFE, "renice": safe(reversible=False, level="auto")}
        helped = KnownEffects({"limit": 1.5}, sd=0.9)
        results = self.many(beliefs=helped, explore=True, traits=known)[:60]
        assert {action.name for result in results for action in result.actions} == {"limit"}

    @pytest.mark.parametrize(("risk", "is_tried"), [("low", True), ("medium", True), ("high", False)])
    def test_what_does_not_name_its_risk_is_tried_where_a_person_said_auto_and_what_is_of_high_risk_never(
        self, risk: str, is_tried: bool
    ) -> None:
        said = dict.fromkeys(("limit", "renice"), safe(risk=risk, level="auto"))
        results = self.many(beliefs=KnownEffects({}, sd=0.9), explore=True, traits=said)[:60]
        assert any(result.actions for result in results) is is_tried

    @pytest.mark.parametrize("awaited", ["limit", "cpu"])
    def test_one_trial_at_a_time_until_it_is_measured(self, awaited: str) -> None:
        offers = {"g": (LIMIT,)}
        unknown = KnownEffects({}, sd=0.9)
        more = {"beliefs": unknown, "explore": True, "candidates": offers}
        assert any(result.actions for result in self.many(**more)[:60])
        assert not any(result.actions for result in self.many(**more, unmeasured=frozenset({awaited}))[:60])

    @pytest.mark.parametrize(("low", "high", "is_tried"), [(92.0, 100.0, True), (84.0, 90.4, False)])
    def test_what_may_break_more_than_is_at_stake_is_not_tried_though_it_might_help(
        self, low: float, high: float, is_tried: bool
    ) -> None:
        doubtful = {
            "beliefs": KnownEffects({"limit": -0.3}, sd=2.0),
            "explore": True,
            "traits": {"limit": safe(level="auto")},
            "candidates": {"g": (LIMIT.model_copy(update={"cost": 0.0}),)},
            "paths": {"cpu": rising_paths(low=low, high=high)},
        }
        results = self.many(**doubtful)[:60]
        assert any(result.actions for result in results) is is_tried

    def test_what_is_known_to_do_nothing_or_harm_is_not_tried(self) -> None:
        results = self.many(beliefs=KnownEffects({"limit": 0.0, "renice": -0.5}, sd=0.1), explore=True)[:60]
        assert not any(result.actions for result in results)

    def test_nothing_is_tried_in_the_place_of_what_waits_for_an_answer(self) -> None:
        levels = {(GoalType.BOTTLENECK_PREVENTION, "limit"): Autonomy.APPROVE}
        levels[GoalType.BOTTLENECK_PREVENTION, "renice"] = Autonomy.AUTO
        mixed = KnownEffects({"limit": 1.5}, sd=0.9)
        results = self.many(beliefs=mixed, explore=True, levels=levels, nothing_floor=0.2)[:60]
        assert {result.decisions[0].chosen.action for result in results} == {"limit"}

    def test_while_a_better_action_waits_for_an_answer_no_worse_one_is_run_for_another_goal(self) -> None:
        asked = Commitment("x", "other", "limit", "p", TICK, TICK + timedelta(minutes=10), "cpu", waits=True)
        both = KnownEffects({"limit": 1.5, "renice": 1.0})
        other = view_of(goal_of("other", in_s=0.0))
        goals = (view_of(goal_of(in_s=0.0)), other)
        offers = {"g": (LIMIT, RENICE), "other": (LIMIT,)}
        result = make_plans(simple(commitments=(asked,), beliefs=both, goals=goals, candidates=offers))
        assert "renice" not in {action.name for action in result.actions}
        (mine,) = (each for each in result.decisions if each.goal_id == "g")
        assert any("waits for an answer" in reason for reason in mine.blocked_by)

    def test_what_may_help_a_severe_objective_is_tried_while_it_is_broken_and_nothing_known_helps(self) -> None:
        burning = view_of(goal_of(severity=0.95, in_s=0.0, because={"is_broken_now": True}))
        results = self.many(beliefs=KnownEffects({}, sd=0.9), explore=True, goals=(burning,))[:50]
        assert any(result.actions for result in results)

    def test_nothing_is_tried_out_for_another_goal_while_a_severe_objective_is_broken(self) -> None:
        burning = view_of(goal_of("fire", series="db", severity=0.95, because={"is_broken_now": True}))
        goals = (view_of(goal_of(in_s=0.0)), burning)
        results = self.many(beliefs=KnownEffects({}, sd=0.9), explore=True, goals=goals)[:50]
        assert not any(result.actions for result in results)


def taken_slots(problem: PlanProblem, result: PlanResult) -> list[tuple[int, str]]:
    acts = [(round((act.due_at - problem.tick).total_seconds() / problem.slot_s), act) for act in result.actions]
    return [(slot, act.target) for slot, act in acts if not problem.traits_of(act.name).informs_only]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10_000),
    n_goals=st.integers(1, 9),
    most=st.integers(1, 3),
    start=st.integers(0, 6),
    length=st.integers(1, 4),
    method=st.sampled_from(["milp", "greedy"]),
    floor=st.sampled_from([0.0, 0.1]),
)
def test_constraints_hold_whatever_is_drawn(
    seed: int, n_goals: int, most: int, start: int, length: int, method: str, floor: float
) -> None:
    base = crowd(n_goals, n_slots=12, seed=seed, method=method, explore=True, nothing_floor=floor, cycle_s=1e6)
    closed = (base.slot_at(start), base.slot_at(start + length))
    problem = replace(base, max_concurrent_goals=most, maintenance=(closed,))
    result = make_plans(problem)
    taken = taken_slots(problem, result)
    assert max(Counter(slot for slot, _ in taken).values(), default=0) <= most
    assert len(set(taken)) == len(taken)
    assert not any(start <= slot < start + length for slot, _ in taken)
    assert len(result.decisions) == n_goals
    for decision in result.decisions:
        assert decision.explanation
        if decision.strategy is not Strategy.COLLABORATIVE:
            total = decision.chosen.propensity + sum(each.propensity for each in decision.alternatives)
            assert total == pytest.approx(1.0)
