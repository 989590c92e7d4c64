"""Actions are drawn from probabilities that are on record."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import ForeactError
from storage.records import NOTHING
from tasks.learn import HierarchicalLearner, Situation, choose, replay
from tasks.learn.choice import propensities
from tests.tasks.learn.worlds import GOAL, observed

TRUTH = {NOTHING: 0.0, "useless": 0.0, "good": 0.9}
ARMS = list(TRUTH)
HERE = Situation(GOAL, 12.0)
LEARNED = replay(observed(TRUTH, 25))


def test_the_good_action_gets_most_of_the_probability_and_none_gets_nothing() -> None:
    chances = propensities(LEARNED, HERE, ARMS, 1)
    assert chances.sum() == pytest.approx(1)
    assert chances[2] > 0.85
    assert chances.min() >= 0.05 / 2


def test_doing_nothing_keeps_its_floor() -> None:
    for floor in (0.05, 0.2, 0.4):
        assert propensities(LEARNED, HERE, ARMS, 1, nothing_floor=floor)[0] >= floor


def test_without_a_holdout_each_arm_keeps_its_even_part() -> None:
    assert propensities(LEARNED, HERE, ARMS, 1, nothing_floor=0.0).min() >= 0.1 / 3


def test_the_same_seed_gives_the_same_choice_and_the_seeds_follow_the_probabilities() -> None:
    assert choose(LEARNED, HERE, ARMS, 7) == choose(LEARNED, HERE, ARMS, 7)
    fresh = HierarchicalLearner()
    chosen = [choose(fresh, HERE, ARMS, seed) for seed in range(600)]
    expected = np.mean([[choice.propensities[arm] for arm in ARMS] for choice in chosen], axis=0)
    drawn = [np.mean([choice.chosen == arm for choice in chosen]) for arm in ARMS]
    assert drawn == pytest.approx(expected, abs=0.06)


def test_every_rejected_alternative_is_kept_with_its_probability() -> None:
    choice = choose(LEARNED, HERE, ARMS, 3)
    assert {choice.chosen, *(other.action for other in choice.alternatives)} == set(ARMS)
    total = choice.propensity + sum(other.propensity for other in choice.alternatives)
    assert total == pytest.approx(1)


def test_a_cost_makes_an_action_less_likely() -> None:
    plain = propensities(LEARNED, HERE, ARMS, 1)
    assert propensities(LEARNED, HERE, ARMS, 1, gains={"good": -1.5})[2] < 0.2 < plain[2]


@pytest.mark.parametrize(("arms", "code"), [([], "no_arms"), (["a", "a"], "arms_duplicate")])
def test_arms_that_make_no_choice_are_refused(arms: list[str], code: str) -> None:
    with pytest.raises(ForeactError) as refused:
        choose(LEARNED, HERE, arms, 1)
    assert refused.value.code == code


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(1, 8),
    with_nothing=st.booleans(),
    floor=st.floats(0, 0.5),
    share=st.floats(0.01, 0.5),
    seed=st.integers(0, 10_000),
)
def test_probabilities_always_sum_to_one_and_keep_every_arm_alive(
    count: int, with_nothing: bool, floor: float, share: float, seed: int
) -> None:
    arms = [*([NOTHING] if with_nothing else []), *(f"a{i}" for i in range(count))]
    chances = propensities(HierarchicalLearner(), HERE, arms, seed, nothing_floor=floor, uniform_share=share, draws=50)
    assert chances.sum() == pytest.approx(1)
    assert (chances > 0).all()
    if with_nothing:
        assert chances[0] >= floor - 1e-12
