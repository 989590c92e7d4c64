"""What an action is worth follows from the futures it meets."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers import elsewhere
from storage.records import Autonomy, Candidate, GoalType, Objective
from tasks.plan import Realised
from tasks.plan.valuation.priors import PriorBeliefs, declared_effect, effect_of
from tasks.plan.valuation.risk import deviates_of, losses_of, ramps_of, risk_of, slope_of, thin
from tasks.plan.valuation.value import LEAST_WORTH, Valuer, shrink_of
from tests.tasks.plan.worlds import TICK, KnownEffects, goal_of, problem_of, rising_paths, safe, view_of

LIMIT = Candidate(action="limit", target="p")


def valuer(effect: float, *, sd: float = 0.05, **more: object) -> Valuer:
    problem = problem_of([goal_of()], {"g": [LIMIT]}, KnownEffects({"limit": effect}, sd), **more)
    return Valuer(problem, problem.goals[0])


class TestRisk:
    def test_no_excess_is_no_loss_and_two_sd_all_the_time_is_one(self) -> None:
        assert losses_of(np.full((3, 5), -0.1)).tolist() == [0, 0, 0]
        assert losses_of(np.full((3, 5), 2.0)).tolist() == [1, 1, 1]

    def test_of_what_is_broken_beyond_all_measure_it_counts_how_far_it_is_brought_back(self) -> None:
        far = np.full((3, 5), 40.0)
        slope = slope_of(far)
        assert risk_of(far, slope) == pytest.approx(1.0)
        assert risk_of(far / 2, slope) == pytest.approx(0.75)
        assert risk_of(far / 2) == pytest.approx(1.0)

    def test_two_sd_at_least_weigh_one_where_it_is_broken_by_less_or_not_at_all(self) -> None:
        assert slope_of(np.full((3, 5), 0.4)) == slope_of(np.full((3, 5), -1.0)) == 0.25

    def test_the_tail_counts_extra(self) -> None:
        even = np.full((20, 10), -1.0)
        even[:, :2] = 3.0
        tail = np.full((20, 10), -1.0)
        tail[:4] = 3.0
        assert risk_of(tail) > risk_of(even)

    @settings(max_examples=50, deadline=None)
    @given(st.integers(0, 1_000), st.floats(0, 3))
    def test_less_excess_is_never_more_risk(self, seed: int, relief: float) -> None:
        excess = np.random.default_rng(seed).normal(0, 2, (12, 9))
        assert risk_of(excess - relief) <= risk_of(excess) + 1e-12

    def test_deviates_are_standard_normal_and_the_same_for_the_same_seed(self) -> None:
        drawn = deviates_of(3, 42)
        assert abs(drawn.mean()) < 1e-9
        assert drawn.std() == pytest.approx(1.0, abs=0.1)
        assert np.array_equal(drawn, deviates_of(3, 42))

    def test_an_effect_starts_after_the_latency_and_ends_after_its_duration(self) -> None:
        (ramp,) = ramps_of(np.arange(1, 61) * 60.0, np.array([600.0]), 300.0, 1_200.0)
        assert ramp[:15].max() == 0.0
        assert ramp[20:34].min() == 1.0
        assert ramp[-1] == 0.0

    def test_thinning_keeps_the_worst_of_each_block(self) -> None:
        worst, times_s = thin(np.arange(192.0).reshape(2, 96), np.arange(1, 97) * 60.0)
        assert worst.shape == (2, 48)
        assert worst[0, 0] == 1.0
        assert times_s[1] == 180.0


class TestWorth:
    def test_a_helpful_action_lowers_the_risk_and_an_unhelpful_one_raises_it(self) -> None:
        assert valuer(1.0).worth(LIMIT).gain[0] > 0 > valuer(-1.0).worth(LIMIT).gain[0]

    def test_an_action_without_effect_is_worth_nothing(self) -> None:
        assert valuer(0.0, sd=0.0).worth(LIMIT).gain[0] == pytest.approx(0.0)

    def test_uncertainty_about_an_effect_costs(self) -> None:
        assert valuer(1.0, sd=1.5).worth(LIMIT).gain[0] < valuer(1.0, sd=0.05).worth(LIMIT).gain[0]

    def test_latency_costs(self) -> None:
        slow = LIMIT.model_copy(update={"latency_s": 2_700.0})
        one = valuer(1.5)
        assert one.worth(slow.model_copy(update={"target": "q"})).gain[0] < one.worth(LIMIT).gain[0]

    def test_waiting_for_a_person_costs(self) -> None:
        waits = {(GoalType.BOTTLENECK_PREVENTION, "limit"): Autonomy.APPROVE}
        early = {"cpu": rising_paths(low=92.0, high=100.0)}
        assert (
            valuer(1.5, levels=waits, paths=early).worth(LIMIT).gain[0] < valuer(1.5, paths=early).worth(LIMIT).gain[0]
        )

    def test_acting_after_the_breach_is_worth_less_than_before(self) -> None:
        gain = valuer(1.5, slot_s=180.0).worth(LIMIT).gain
        assert gain[0] > gain[-1]

    def test_without_paths_the_belief_alone_decides(self) -> None:
        helpful, harmful = (valuer(each, paths={}) for each in (1.0, -1.0))
        assert helpful.risk == pytest.approx(0.6 * 0.8)
        assert helpful.worth(LIMIT).gain[0] > 0 > harmful.worth(LIMIT).gain[0]

    def test_a_gain_that_breaks_another_bound_is_charged(self) -> None:
        floor = Objective(name="floor", metric="cpu", side="above", bound=60, severity=0.9)
        ceiling = Objective(name="cpu", metric="cpu", bound=90, severity=0.6)
        alone = valuer(3.0).worth(LIMIT).gain[0]
        guarded = valuer(3.0, objectives={"cpu": ceiling, "floor": floor}).worth(LIMIT).gain[0]
        assert guarded < alone

    @settings(max_examples=40, deadline=None)
    @given(st.floats(60, 7_200), st.floats(1, 4), st.integers(0, 100))
    def test_the_margin_is_on_what_an_act_that_lasts_so_long_could_save(
        self, duration_s: float, longer: float, seed: int
    ) -> None:
        paths = {"cpu": np.random.default_rng(seed).normal(92.0, 10.0, (20, 60))}
        needed = [
            valuer(0.5, paths=paths, traits={"limit": safe(duration_s=lasts_s)}).worth(LIMIT).needed
            for lasts_s in (duration_s, longer * duration_s, None)
        ]
        assert needed == sorted(needed)
        assert needed[0] >= LEAST_WORTH
        assert needed[-1] <= 0.3 * valuer(0.5, paths=paths).risk + 1e-9

    def test_what_works_half_the_time_needs_half_as_much(self) -> None:
        paths = {"cpu": np.full((20, 60), 110.0)}
        half, whole = (
            valuer(0.5, paths=paths, traits={"limit": safe(duration_s=lasts_s)}).worth(LIMIT).needed
            for lasts_s in (1_800.0, None)
        )
        assert half == pytest.approx(whole / 2, rel=0.05)


class TestShrinking:
    def test_a_new_action_is_taken_at_its_word(self) -> None:
        assert shrink_of(None) == 1.0

    def test_an_action_that_never_delivers_is_believed_less_and_less(self) -> None:
        factors = [shrink_of(Realised(count, predicted=0.2 * count, realised=0.0)) for count in (1, 10, 100)]
        assert factors == sorted(factors, reverse=True)
        assert factors[-1] == pytest.approx(20 / 120)


class TestBeliefs:
    goal = goal_of()

    def test_a_declared_effect_is_the_prior_where_nothing_was_learned(self) -> None:
        declared = Candidate(action="limit", expected_effect={"cp*": -1.2})
        problem = problem_of([self.goal], {"g": [declared]}, PriorBeliefs())
        assert effect_of(problem, declared, self.goal) == pytest.approx((1.2, 0.6))

    def test_what_was_learned_overrules_what_was_declared(self) -> None:
        declared = Candidate(action="limit", expected_effect={"cpu": -1.2})
        problem = problem_of([self.goal], {"g": [declared]}, KnownEffects({"limit": 0.0}, sd=0.05))
        mean, sd = effect_of(problem, declared, self.goal)
        assert abs(mean) < 0.02
        assert sd <= 0.05

    def test_the_exact_name_wins_over_a_pattern(self) -> None:
        both = Candidate(action="limit", expected_effect={"*": -0.1, "cpu": -0.9})
        assert declared_effect(both, self.goal) == 0.9

    def test_an_effect_on_another_metric_is_none_here(self) -> None:
        assert declared_effect(Candidate(action="a", expected_effect={"memory": -1.0}), self.goal) is None

    def test_an_effect_declared_as_none_at_all_is_believed_rather_than_that_the_metric_is_brought_back(self) -> None:
        problem = problem_of([self.goal], {}, off_usual_sd={"g": 12.0})
        said = Candidate(action="limit", expected_effect={"cpu": 0.0})
        unsaid = Candidate(action="limit")
        believed = [effect_of(problem, each, self.goal)[0] for each in (said, unsaid)]
        assert believed[0] == 0.0 < 3.0 < believed[1]

    @pytest.mark.parametrize(("off_usual_sd", "least"), [({}, 0.5), ({"g": 12.0}, 7.0)])
    def test_more_is_believed_of_what_a_person_has_done_unasked_though_it_cannot_be_undone(
        self, off_usual_sd: dict[str, float], least: float
    ) -> None:
        named = frozenset({"level"})
        traits = {
            "prune": elsewhere("prune", level="auto", configured=named),
            "asked": elsewhere("asked", level="approve", configured=named),
            "undone": elsewhere("undone", reversible=True, level="auto", configured=named),
            "unsaid": elsewhere("unsaid", level="auto"),
        }
        problem = problem_of([self.goal], {}, off_usual_sd=off_usual_sd, traits=traits)
        prune, *others = (effect_of(problem, Candidate(action=name), self.goal)[0] for name in traits)
        assert prune > least > max(others)
        learned = replace(problem, beliefs=KnownEffects({"prune": 0.0}, sd=0.05))
        assert abs(effect_of(learned, Candidate(action="prune"), self.goal)[0]) < 0.05


def test_a_goal_whose_deadline_lies_beyond_the_paths_is_valued_by_its_probability() -> None:
    goal = goal_of(in_s=30 * 86_400.0, bound=500.0)
    problem = problem_of([goal], {"g": [LIMIT]}, KnownEffects({"limit": 1.0}))
    one = Valuer(problem, view_of(goal))
    assert one.outlook.excess.size == 0
    assert one.worth(LIMIT).gain[0] > 0
    assert goal.deadline - TICK == timedelta(days=30)


def test_a_short_lived_effect_is_worth_most_just_before_the_peak() -> None:
    paths = {"cpu": np.tile(np.where(np.abs(np.arange(60) - 40) < 6, 100.0, 70.0), (20, 1))}
    traits = {"limit": elsewhere("limit", duration_s=720.0)}
    gain = valuer(1.5, paths=paths, traits=traits, n_slots=50).worth(LIMIT).gain
    assert 30 <= int(np.argmax(gain)) <= 36
