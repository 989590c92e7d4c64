"""Of many series those that a selector means are found through an index, and are the same ones."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.records import Frame, SeriesIndex, selects, series_key

metrics = st.sampled_from(["load", "latency", "a/b"])
label_sets = st.dictionaries(st.sampled_from(["pod", "zone", "le"]), st.sampled_from(["a", "b", "x, y"]), max_size=3)
series_keys = st.builds(series_key, metrics, label_sets)
selectors = series_keys | st.sampled_from(["load ", "latency{", "load { pod = 'a' }", "lat", "", 'load{pod="none"}'])


@given(st.lists(series_keys | st.text(max_size=6), max_size=30), selectors)
def test_an_index_means_what_asking_every_series_means(series: list[str], selector: str) -> None:
    asked = [place for place, name in enumerate(series) if selects(selector, name)]
    if len(set(series)) == len(series):
        assert SeriesIndex(series).meant(selector) == asked


@given(st.lists(series_keys, max_size=20, unique=True), st.lists(selectors, max_size=5))
def test_what_any_selector_means_is_what_all_of_them_mean_together(series: list[str], several: list[str]) -> None:
    asked = {place for place, name in enumerate(series) if any(selects(each, name) for each in several)}
    assert SeriesIndex(series).meant_by_any(several) == asked


def test_a_copy_of_a_frame_with_other_series_finds_these() -> None:
    frame = Frame(series=("a", "b"), values=np.array([[1.0], [2.0]]), end=datetime(2026, 1, 1, tzinfo=UTC), step_s=1)
    assert frame.row("b").tolist() == [2.0]
    other = frame.model_copy(update={"series": ("b", "c")})
    assert other.row("b").tolist() == [1.0]
    assert frame.row("b").tolist() == [2.0]
    with pytest.raises(KeyError):
        other.row("a")
