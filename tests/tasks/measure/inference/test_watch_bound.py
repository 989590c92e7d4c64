"""A watched act is taken for harmful by evidence that holds however often it is looked at."""

from __future__ import annotations

from math import sqrt

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.measure.inference.watch_bound import WATCH_ALPHA, mixture_evidence, prior_evidence, z_of


def test_of_acts_without_effect_hardly_any_is_called_harmful_though_each_is_looked_at_forty_times() -> None:
    rng = np.random.default_rng(0)
    means = np.cumsum(rng.normal(size=(4_000, 40)), axis=1) / np.arange(1, 41)
    errors = 1 / np.sqrt(np.arange(1, 41))
    looks = [list(zip(row, errors, strict=True)) for row in means]
    alarms = [
        max(mixture_evidence(mean / error, 1 / error) for mean, error in each) >= 1 / WATCH_ALPHA for each in looks
    ]
    assert np.mean(alarms) <= WATCH_ALPHA


@given(st.floats(0.5, 30), st.floats(0.1, 10))
def test_a_belief_and_an_estimate_hold_the_same_evidence(z: float, spread_ratio: float) -> None:
    before = spread_ratio**2
    variance = before / (1 + before)
    found = prior_evidence(z * variance, variance, before)
    assert np.isclose(found, mixture_evidence(z, spread_ratio), rtol=1e-6)


def test_data_that_say_nothing_are_no_evidence() -> None:
    assert prior_evidence(0.0, 1.0, 1.0) == 1.0
    assert mixture_evidence(0.0, 2.0) == 1 / sqrt(5)


def test_a_p_value_becomes_its_distance_and_none_at_all_a_far_one() -> None:
    assert np.isclose(z_of(0.05), 1.959964)
    assert z_of(0.0) == 37.0
