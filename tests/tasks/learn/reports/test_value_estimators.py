"""Estimates of a policy's worth: what each does with the weights, and how often its interval holds the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.reviews.bandits import ESTIMATORS, bandit_set, graded, terms_of
from tasks.learn.reports.value_estimators import (
    LoggedTerms,
    doubly_robust,
    self_normalised_doubly_robust,
    snips,
    switch_doubly_robust,
)


@given(st.integers(0, 1_000), st.sampled_from(sorted(ESTIMATORS)))
def test_a_policy_that_does_what_was_done_is_worth_about_what_was_achieved(seed: int, name: str) -> None:
    data = bandit_set(seed, 60, True)
    told = ESTIMATORS[name](terms_of(data, data.behaviour))
    assert told.low <= told.value <= told.high
    assert told.value == pytest.approx(data.rewards.mean(), abs=0.25)


def test_weights_of_one_give_the_plain_mean() -> None:
    rng = np.random.default_rng(0)
    achieved, modelled = rng.normal(1, 1, 50), np.zeros(50)
    terms = LoggedTerms(modelled, modelled, np.ones(50), achieved)
    for estimator in (snips, doubly_robust, switch_doubly_robust, self_normalised_doubly_robust):
        assert estimator(terms).value == pytest.approx(achieved.mean())


def test_switching_leaves_out_what_weighs_more_than_it_may() -> None:
    zeros, weight = np.zeros(4), np.array([1.0, 1.0, 1.0, 50.0])
    terms = LoggedTerms(zeros, zeros, weight, np.ones(4))
    assert switch_doubly_robust(terms, 10.0).value == pytest.approx(0.75)
    assert doubly_robust(terms).value == pytest.approx(53 / 4)


def test_where_nothing_weighs_anything_the_model_is_left() -> None:
    direct, zeros = np.array([1.0, 2.0, 3.0]), np.zeros(3)
    assert self_normalised_doubly_robust(LoggedTerms(direct, direct, zeros, zeros)).value == 2.0


def test_the_interval_in_use_holds_the_truth_of_bandit_data_that_others_use() -> None:
    told = graded(40, 5_000, 200, True)
    assert all(row["SN-DR (ours)"][0] >= 0.8 for row in told.values())
