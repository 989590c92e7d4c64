"""The cheapest cut into levels is the cheapest of all cuts."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.patterns.inputs import Floats
from tasks.patterns.segmentation import segment_ends
from tests import sized


def _cost(points: Floats, ends: list[int], penalty: float) -> float:
    parts = [points[left:right] for left, right in pairwise([0, *ends])]
    return sum(float(((part - part.mean()) ** 2).sum()) for part in parts) + penalty * len(parts)


def _all_cuts(n_points: int, min_size: int) -> list[list[int]]:
    inner = range(min_size, n_points - min_size + 1)
    cuts = [[*some, n_points] for count in range(n_points) for some in combinations(inner, count)]
    return [cut for cut in cuts if all(right - left >= min_size for left, right in pairwise([0, *cut]))]


@settings(max_examples=sized(30, 60), deadline=None)
@given(
    st.lists(st.lists(st.integers(-9, 9), min_size=8, max_size=8), min_size=1, max_size=3),
    st.integers(1, 4),
    st.floats(0.1, 50),
)
def test_no_other_cut_is_cheaper(rows: list[list[int]], min_size: int, penalty: float) -> None:
    points = np.array(rows, dtype=float)
    for row, ends in zip(points, segment_ends(points, np.full(len(points), penalty), min_size), strict=True):
        cheapest = min(_cost(row, cut, penalty) for cut in _all_cuts(8, min_size))
        assert ends in _all_cuts(8, min_size)
        assert _cost(row, ends, penalty) <= cheapest + 1e-9


def test_each_series_is_cut_by_its_own_penalty() -> None:
    step = np.repeat([0.0, 5.0], 50)
    assert segment_ends(np.stack([step, step]), np.array([10.0, 1e6]), 3) == [[50, 100], [100]]
