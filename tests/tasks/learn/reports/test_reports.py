"""Timing, convergence, pooled effects and estimates of other policies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from storage.errors import ForeactError
from storage.records import NOTHING
from tasks.learn import HierarchicalLearner, Observation, Situation, choose, replay
from tasks.learn.pooled_effect import OwnError, always_valid_low, pooled_effect
from tasks.learn.reports.convergence import convergence
from tasks.learn.reports.off_policy import (
    CrossFitted,
    LoggedDecision,
    PolicyValue,
    evaluate_change,
    evaluate_policies,
    vetoes,
)
from tasks.learn.reports.timing import best_slots, slot_scores
from tests.tasks.learn.worlds import GOAL, observed

TRUTH = {NOTHING: 0.0, "useless": 0.0, "good": 0.8}
ARMS = list(TRUTH)


def _morning_action() -> HierarchicalLearner:
    rng = np.random.default_rng(0)
    hours = rng.uniform(0, 24, 200)
    effects = 0.4 + 0.6 * np.sin(2 * np.pi * hours / 24) + rng.normal(0, 0.1, 200)
    learner = replay(
        Observation(f"o{i}", "a", GOAL, float(hour), float(effect), 0.1)
        for i, (hour, effect) in enumerate(zip(hours, effects, strict=True))
    )
    assert isinstance(learner, HierarchicalLearner)
    return learner


def test_the_best_slots_are_those_in_which_the_action_worked() -> None:
    scores = slot_scores(_morning_action(), GOAL, "a", slots=8)
    assert [score.start_hour for score in scores] == [0, 3, 6, 9, 12, 15, 18, 21]
    best = best_slots(scores, 2)
    assert {slot.start_hour for slot in best} == {3.0, 6.0}
    assert best[0].better_ratio > 0.95
    assert best[0].gain > 0.3
    assert [scores[2].gain, scores[6].gain] == pytest.approx([0.6, -0.6], abs=0.2)


def test_an_action_never_tried_has_no_best_hour() -> None:
    scores = slot_scores(HierarchicalLearner(), GOAL, "a")
    assert all(score.gain == 0 and score.better_ratio == pytest.approx(0.5) for score in scores)


def test_a_day_without_slots_is_refused() -> None:
    with pytest.raises(ForeactError):
        slot_scores(HierarchicalLearner(), GOAL, "a", slots=0)


def test_convergence_rises_with_outcomes() -> None:
    start = convergence(HierarchicalLearner(), GOAL, ARMS)
    end = convergence(replay(observed(TRUTH, 40)), GOAL, ARMS)
    assert not start.is_settled
    assert start.value_remaining_sd > 0.5
    assert end.is_settled
    assert end.best == "good"
    assert end.best_ratio > 0.95
    assert end.value_remaining_sd < 0.05


def test_two_equal_actions_settle_by_having_nothing_left_to_gain() -> None:
    state = convergence(replay(observed({"a": 0.5, "b": 0.5}, 300, error=0.1)), GOAL, ["a", "b"])
    assert state.is_settled
    assert state.value_remaining_sd <= 0.1


def test_pooled_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(400):
        errors = rng.choice([0.1, 0.2, 0.5], 8)
        effects = 0.4 + rng.normal(0, 0.2, 8) + rng.normal(0, errors)
        pooled = pooled_effect(effects, errors)
        held.append(pooled.low <= 0.4 <= pooled.high)
    assert 0.85 <= np.mean(held) <= 0.97


def test_a_single_outcome_keeps_its_own_uncertainty() -> None:
    pooled = pooled_effect(np.array([0.5]), np.array([0.2]))
    assert pooled.low == pytest.approx(0.5 - 1.645 * 0.2, abs=0.01)


def test_looking_after_every_outcome_hardly_ever_proves_an_action_that_does_nothing() -> None:
    rng = np.random.default_rng(1)
    proved = 0
    for _ in range(150):
        errors = rng.choice([0.1, 0.2, 0.4], 60)
        effects = rng.normal(0, 0.14, 60) + rng.normal(0, errors)
        proved += any(always_valid_low(effects[:n], errors[:n]) > 0 for n in range(1, 61))
    assert proved <= 3
    assert always_valid_low(np.full(10, 0.8), np.full(10, 0.2)) > 0
    assert always_valid_low(np.empty(0), np.empty(0)) == -np.inf


def _logged(count: int, seed: int = 0) -> list[LoggedDecision]:
    """Let a learner decide in a world of known effects, and log it."""
    rng = np.random.default_rng(seed)
    learner, decisions = HierarchicalLearner(), []
    for i in range(count):
        hour = float(rng.uniform(0, 24))
        choice = choose(learner, Situation(GOAL, hour), ARMS, seed * 10_000 + i, uniform_share=0.4)
        effect = TRUTH[choice.chosen] + rng.normal(0, 0.2)
        seen = Observation(f"o{i}", choice.chosen, GOAL, hour, float(effect), 0.2)
        decisions.append(LoggedDecision(seen, choice.propensities))
        learner = learner.update(seen)
    return decisions


def _always(action: str):  # type: ignore[no-untyped-def]
    def policy(context: Situation, arms: Sequence[str]) -> np.ndarray:
        return np.array([float(arm == action) for arm in arms])

    return policy


def _valued(decisions: Sequence[LoggedDecision], action: str) -> PolicyValue:
    return evaluate_policies(decisions, {"policy": _always(action)})["policy"]


def test_another_policy_is_valued_near_its_truth() -> None:
    decisions = _logged(150)
    good, bad = evaluate_policies(decisions, {arm: _always(arm) for arm in ("good", "useless")}).values()
    assert good.low <= 0.8 <= good.high
    assert good.doubly_robust == pytest.approx(0.8, abs=0.1)
    assert bad.doubly_robust == pytest.approx(0.0, abs=0.2)
    assert bad.effective_sample_size < good.effective_sample_size <= 150


def test_a_worse_policy_is_vetoed_and_a_better_one_is_only_not_vetoed() -> None:
    decisions = _logged(250)
    assert "achieved" in vetoes(_valued(decisions, "useless"))
    assert vetoes(_valued(decisions, "good")) == ""


def test_decisions_that_say_nothing_about_a_policy_veto_it() -> None:
    assert "decisions are informative" in vetoes(_valued(_logged(12), "useless"))


def test_a_decision_without_its_probability_is_refused() -> None:
    decision = _logged(1)[0]
    broken = LoggedDecision(decision.observation, dict.fromkeys(ARMS, 0.0))
    with pytest.raises(ForeactError) as refused:
        _valued([broken], "good")
    assert refused.value.code == "off_policy_propensity"
    with pytest.raises(ForeactError):
        _valued([], "good")


def test_effects_held_against_one_past_are_pooled_with_what_they_share() -> None:
    """Forty effects with errors of 1, all off by the same centre of thirty windows: the plain interval is too sure."""
    rng, windows = np.random.default_rng(5), np.full(40, 30.0)
    held, plain = [], []
    for _ in range(400):
        effects = rng.normal(0, 1, 40) + rng.normal(0, np.sqrt(1 / 31))
        told, sure = pooled_effect(effects, np.ones(40), past_windows=windows), pooled_effect(effects, np.ones(40))
        held.append(told.low <= 0 <= told.high)
        plain.append(sure.low <= 0 <= sure.high)
    assert 0.86 <= np.mean(held) <= 0.95
    assert np.mean(plain) < 0.85


def test_what_is_shared_with_the_past_is_no_proof() -> None:
    effects, errors = np.full(50, 0.3), np.full(50, 0.3)
    assert always_valid_low(effects, errors) > 0
    assert always_valid_low(effects, errors, past_windows=np.full(50, 4.0)) < 0


def test_what_all_outcomes_of_an_installation_share_does_not_average_out() -> None:
    rng = np.random.default_rng(1)
    held, unaware = [], []
    for _ in range(400):
        effects = 0.4 + 0.1 * rng.normal() + 0.2 * rng.normal(size=40)
        errors = np.full(40, 0.2)
        for told, own in ((held, OwnError(1.0, 0.5)), (unaware, OwnError(1.0, 0.0))):
            pooled = pooled_effect(effects, errors, own=own)
            told.append(pooled.low <= 0.4 <= pooled.high)
    assert 0.86 <= np.mean(held) <= 0.95
    assert np.mean(unaware) < 0.6


def test_a_widening_widens_every_interval_of_that_many_outcomes_by_as_much() -> None:
    effects, errors = np.array([0.4, 0.4, 0.4]), np.array([0.2, 0.2, 0.2])
    plain, wide = (pooled_effect(effects, errors, own=OwnError(factor, 0.0)) for factor in (1.0, 1.5))
    assert wide.high - wide.low == pytest.approx(1.5 * (plain.high - plain.low))


def test_an_outcome_without_any_error_does_not_drown_the_others() -> None:
    pooled = pooled_effect(np.array([0.0, 1.0, 1.1, 0.9]), np.array([0.0, 0.2, 0.2, 0.2]))
    assert pooled.low < 0.75 < pooled.high


def test_what_a_change_would_have_done_is_estimated_near_its_truth() -> None:
    decisions = _logged(150)
    change = evaluate_change(CrossFitted(decisions), [{"useless": 1.0}] * 150, [{"good": 1.0}] * 150)
    assert change.low <= 0.8 <= change.high
    assert change.difference == pytest.approx(0.8, abs=0.25)
    assert change.differing == 150
    back = evaluate_change(CrossFitted(decisions), [{"good": 1.0}] * 150, [{"useless": 1.0}] * 150)
    assert back.difference == pytest.approx(-change.difference)


def test_a_change_that_changes_no_decision_does_nothing_for_sure() -> None:
    same = [{"good": 0.9, NOTHING: 0.1}] * 40
    change = evaluate_change(CrossFitted(_logged(40)), same, same)
    assert (change.difference, change.low, change.high, change.differing) == (0.0, 0.0, 0.0, 0)


def test_what_was_never_drawn_is_told_by_the_model_alone_and_widely() -> None:
    decisions = _logged(60)
    seen, unseen = (
        evaluate_change(CrossFitted(decisions), [{NOTHING: 1.0}] * 60, [{arm: 1.0}] * 60) for arm in ("good", "never")
    )
    assert (seen.unseen_ratio, unseen.unseen_ratio) == (0.0, 0.5)
    assert unseen.high - unseen.low > seen.high - seen.low


def test_a_change_cannot_be_judged_without_decisions_or_their_probabilities() -> None:
    with pytest.raises(ForeactError, match="No decision was logged"):
        CrossFitted([])
    with pytest.raises(ForeactError) as refused:
        CrossFitted([LoggedDecision(_logged(1)[0].observation, dict.fromkeys(ARMS, 0.0))])
    assert refused.value.code == "off_policy_propensity"
