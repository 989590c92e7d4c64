"""Samples laid on grids: numpy beside the rows and SQL at their owner come to the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import open_store, sample_window
from storage.records import Sample

END = datetime(2026, 1, 8, tzinfo=UTC)
NAMES = ("a", "b", "c")

rows = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(-40, 700), st.integers(-3, 3), st.integers(0, 5)), max_size=60
)


@settings(max_examples=40, deadline=None)
@given(
    rows,
    st.sampled_from([1.0, 7.0, 60.0]),
    st.integers(1, 70),
    st.booleans(),
    st.sampled_from([7, 1_000_000]),
    st.sampled_from([2, 65_536]),
    st.sampled_from([0, 32]),
)
def test_both_ways_to_the_grid_agree(
    recorded: list[tuple[str, int, int, int]],
    step_s: float,
    steps: int,
    is_past: bool,
    at_once: int,
    most_codes: int,
    few_series: int,
) -> None:
    clock = [END]
    with open_store(clock=lambda: clock[0]) as store:
        for name, age_s, value, recorded_s in recorded:
            clock[0] = END + timedelta(seconds=recorded_s)
            store.samples.append([Sample(metric=name, value=value, ts=END - timedelta(seconds=age_s))])
        as_of = END + timedelta(seconds=2) if is_past else None
        window = store.samples.window(END - timedelta(seconds=step_s * steps), END, as_of)
        limits = {"ROWS_AT_ONCE": at_once, "MOST_CODES": most_codes, "FEW_SERIES": few_series}
        with mock.patch.multiple(sample_window, **limits):
            here, there = window._frame_here(NAMES, step_s, steps), window._frame_there(NAMES, step_s, steps)
        # Rows of one moment that were recorded at one moment have no order: either may be the last.
        unclear = {
            (n, a, r) for n, a, _, r in recorded if len({v for m, b, v, s in recorded if (m, b, s) == (n, a, r)}) > 1
        }
        if not unclear:
            np.testing.assert_allclose(here, there)
        assert window._spans_here() == window._spans_there()


def test_a_window_gives_several_grids_of_one_reading() -> None:
    with open_store() as store:
        store.samples.append([Sample(metric="a", value=n, ts=END - timedelta(seconds=n)) for n in range(300)])
        window = store.samples.window(END - timedelta(hours=1), END)
        fine, coarse = window.frame(["a"], 1, 60), window.frame(["a"], 60, 5)
        np.testing.assert_array_equal(fine.values[0], np.arange(59, -1, -1))
        np.testing.assert_allclose(coarse.values[0], [269.5, 209.5, 149.5, 89.5, 29.5])
        (info,) = window.spans()
        assert (info.count, info.interval_s) == (300, 1)


@given(st.integers(1, 7))
def test_series_are_told_alike_however_few_moments_are_looked_at_at_once(at_once: int) -> None:
    with open_store() as store, pytest.MonkeyPatch.context() as patch:
        twice = [Sample(metric="a", value=n, ts=END) for n in range(2)]
        store.samples.append(
            [*twice, *(Sample(metric=f"m{n % 5}", value=n, ts=END - timedelta(seconds=n)) for n in range(20))]
        )
        window = store.samples.window(END - timedelta(hours=1), END)
        patch.setattr(sample_window, "MOMENTS_AT_ONCE", at_once)
        assert window._spans_there() == window._spans_here()


def test_a_series_without_samples_is_empty_and_no_series_is_no_row() -> None:
    with open_store() as store:
        store.samples.append([Sample(metric="a", value=1, ts=END)])
        window = store.samples.window(END - timedelta(hours=1), END)
        assert np.isnan(window.frame(["b"], 60, 5).values).all()
        assert window.frame([], 60, 5).values.shape == (0, 5)


def test_a_frame_knows_the_units_that_were_recorded() -> None:
    with open_store() as store:
        store.samples.append([Sample(metric="a", value=1, ts=END, unit="ms"), Sample(metric="b", value=1, ts=END)])
        assert store.samples.frame(["a", "b"], END, 60, 5).units == {"a": "ms"}
