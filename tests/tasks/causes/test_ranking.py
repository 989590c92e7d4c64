"""Causes are ranked by what moved and what nothing below it explains, and none is named where nothing happened."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.causes import ours, quiet_windows, recorded, simulated, without_graph
from tasks.causes.graph import DependencyGraph
from tasks.causes.moves import Spans
from tasks.causes.ranking import Histories, Ranking, rank_causes
from tests import PROJECT

NAMES = ("shop", "cart", "db")
CHAIN = DependencyGraph({"shop": ("cart",), "cart": ("db",)})
STEPS, MOMENT = 300, 296
LEVELS, NOISE = np.array([[200.0], [90.0], [30.0]]), np.array([[10.0], [5.0], [2.0]])


def histories(slow: int, by: float = 250.0, seed: int = 0, components: tuple[str, ...] = NAMES) -> Histories:
    """Return latencies of a chain, of which a service and those that call it are slower from a moment on."""
    values = LEVELS + NOISE * np.random.default_rng(seed).normal(size=(3, STEPS))
    values[: slow + 1, MOMENT:] += by
    return Histories(tuple(f"latency of {name}" for name in components), values, components, ("latency",) * 3)


def ranked(given_histories: Histories, graph: DependencyGraph | None = CHAIN) -> Ranking:
    return rank_causes(given_histories, "latency of shop", graph, spans=Spans(6, 2), moments=[MOMENT])


@pytest.mark.parametrize("slow", [0, 1, 2])
def test_the_service_that_became_slow_is_named_first_and_those_that_call_it_are_not(slow: int) -> None:
    (first, *_) = ranked(histories(slow)).causes
    assert (first.component, first.path) == (NAMES[slow], NAMES[: slow + 1])
    assert first.change == pytest.approx(250, abs=30)


@given(seed=st.integers(0, 1_000))
def test_the_order_of_the_series_changes_nothing(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(3)
    found = histories(2, seed=seed)
    mixed = Histories(
        tuple(found.series[place] for place in order),
        found.values[order],
        tuple(found.components[place] for place in order),
        found.metrics,
    )
    assert [each.component for each in ranked(mixed).causes] == [each.component for each in ranked(found).causes]


@given(factor=st.floats(1e-3, 1e3))
def test_the_unit_of_a_series_changes_nothing(factor: float) -> None:
    found = histories(2)
    scaled = Histories(found.series, found.values * factor, found.components, found.metrics)
    ours_first, theirs_first = ranked(found).causes[0], ranked(scaled).causes[0]
    assert ours_first.component == theirs_first.component
    assert ours_first.score == pytest.approx(theirs_first.score)


def test_a_circle_in_the_graph_changes_nothing_of_what_is_found() -> None:
    circle = DependencyGraph({"shop": ("cart",), "cart": ("db",), "db": ("shop",)})
    assert ranked(histories(2), circle).causes[0].component == "db"


def test_a_short_past_names_nothing_and_says_so_by_no_p_value() -> None:
    found = histories(2)
    young = Histories(found.series, found.values[:, MOMENT - 20 :], found.components, found.metrics)
    ranking = rank_causes(young, "latency of shop", CHAIN, spans=Spans(6, 2), moments=[20])
    assert (ranking.causes, ranking.p_value) == ((), None)


def test_silence_names_nothing() -> None:
    silent = Histories(("latency of shop",), np.full((1, STEPS), np.nan), ("shop",), ("latency",))
    assert ranked(silent).causes == ()


def test_past_incidents_hide_no_new_one_where_they_are_known() -> None:
    found = histories(2)
    troubled = np.zeros(STEPS, dtype=bool)
    for start in (50, 120, 190):
        found.values[:, start : start + 20] += 250.0
        troubled[start : start + 20] = True
    options = {"spans": Spans(6, 2), "moments": [MOMENT]}
    unknown = rank_causes(found, "latency of shop", CHAIN, **options)
    known = rank_causes(found, "latency of shop", CHAIN, **options, troubled=troubled)
    assert known.causes[0].component == "db"
    assert known.causes[0].loudness > 10 * max(each.loudness for each in unknown.causes)


def test_simulated_causes_are_found_and_quiet_windows_name_few() -> None:
    incidents = simulated(3, count=10)
    assert np.mean([ours(each)[:1] == [each.cause] for each in incidents]) >= 0.9
    assert np.mean([each.cause in without_graph(each)[:3] for each in incidents]) >= 0.9
    assert np.mean([bool(ours(each)) for each in quiet_windows(incidents)]) <= 0.2


def test_recorded_causes_are_found() -> None:
    incidents = recorded(PROJECT.parent / "shared" / "data", "train")[::4]
    if not incidents:
        pytest.skip("the recordings of PetShop are not here")
    assert [list(ours(each)[:1]) for each in incidents] == [[each.cause] for each in incidents]
