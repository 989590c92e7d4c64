"""What placebos say of the measurement is what was put into them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.measure import shared_ratio, widening


@settings(max_examples=30, deadline=None)
@given(factor=st.floats(0.3, 2.5), seed=st.integers(0, 99))
def test_intervals_that_are_too_narrow_are_widened_by_as_much_and_wide_ones_stay(factor: float, seed: int) -> None:
    off = factor * np.abs(np.random.default_rng(seed).normal(size=2_000)) / 1.645
    assert widening(off) == pytest.approx(max(1.0, factor), rel=0.1)


def test_few_placebos_widen_nothing() -> None:
    assert widening(np.full(49, 9.0)) == 1
    assert widening(np.full(50, 9.0)) == 3
    assert widening(np.array([])) == 1


@settings(max_examples=30, deadline=None)
@given(shared=st.floats(0.0, 1.0), seed=st.integers(0, 99))
def test_what_placebos_on_a_metric_share_is_told_from_their_scatter(shared: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    effects = [shared * rng.normal() + rng.normal(size=12) for _ in range(400)]
    assert shared_ratio(effects) == pytest.approx(shared, abs=0.2)


def test_one_placebo_a_metric_tells_nothing_of_what_is_shared() -> None:
    assert shared_ratio([np.array([9.0]), np.array([np.nan, 9.0])]) == 0
