"""The room as a whole: order, purity, bad input, refusals."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmarks import patterns_worlds as worlds
from benchmarks.patterns_worlds import END_S, STEP_S
from storage.errors import ForeactError
from tasks.patterns import PatternInput, SearchSettings, find_patterns
from tasks.patterns.find import find_event_patterns, find_series_patterns
from tasks.patterns.finding import Finding
from tasks.patterns.inputs import DAY_S, Floats
from tasks.patterns.statistics import adjusted_p_values, shift_p_values, standardised
from tests import sized

SETTINGS = SearchSettings(timezone="America/New_York")
ODD = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1.0, 1e300, -1e300, 1e-300])


def _rich_frame() -> PatternInput:
    """Return an input in which every detector finds something."""
    rng = np.random.default_rng(4)
    world = worlds.effect_world(rng, n_types=6, n_series=8, n_effects=3, size=4.0)
    values = world.frame.values.copy()
    values[:2] += 2.0 * worlds.noise(rng, 1, values.shape[1], 0.5)
    values[4, 1000:] += 20.0
    values[5, 1900] += 60.0
    nightly = END_S - DAY_S * np.arange(20) - 3600.0
    first = rng.uniform(0.1, 6.9, 20) * DAY_S
    types = [*world.frame.event_types, *["nightly"] * 20, *["first"] * 20, *["then"] * 20]
    times = np.concatenate((world.frame.event_times_s, nightly, END_S - first, END_S - first + 300.0))
    return worlds.frame_of(values, types, times)


def test_every_detector_finds_its_pattern_in_one_input() -> None:
    kinds = {finding.kind for finding in find_patterns(_rich_frame(), SETTINGS, END_S, 0)}
    assert kinds == {"recurrence", "effect", "sequence", "anomaly", "change_point", "seasonality", "comovement"}


def test_findings_are_sound_json_with_strength_and_p_value_in_range() -> None:
    for finding in find_patterns(_rich_frame(), SETTINGS, END_S, 0):
        _assert_sound(finding)
        assert finding.statement.endswith(".")
        assert "\n" not in finding.statement


def test_the_same_input_gives_the_same_findings_and_the_input_stays_as_it_was() -> None:
    frame = _rich_frame()
    before = frame.values.copy()
    assert find_patterns(frame, SETTINGS, END_S, 0) == find_patterns(frame, SETTINGS, END_S, 0)
    np.testing.assert_array_equal(frame.values, before)


def test_the_order_and_repetition_of_events_changes_nothing() -> None:
    frame = _rich_frame()
    order = np.random.default_rng(0).permutation(np.tile(np.arange(len(frame.event_types)), 2))
    shuffled = PatternInput(
        frame.names,
        frame.values,
        END_S,
        STEP_S,
        np.asarray(frame.event_types)[order],
        frame.event_times_s[order],
    )
    assert find_patterns(shuffled, SETTINGS, END_S, 0) == find_patterns(frame, SETTINGS, END_S, 0)


def test_the_order_of_series_changes_nothing_but_the_order() -> None:
    frame = _rich_frame()
    order = np.random.default_rng(0).permutation(len(frame.names))
    shuffled = PatternInput(
        [frame.names[row] for row in order],
        frame.values[order],
        END_S,
        STEP_S,
        frame.event_types,
        frame.event_times_s,
    )
    statements = {(f.kind, f.statement) for f in find_patterns(frame, SETTINGS, END_S, 0) if f.kind != "comovement"}
    again = {(f.kind, f.statement) for f in find_patterns(shuffled, SETTINGS, END_S, 0) if f.kind != "comovement"}
    assert again == statements


def test_every_finding_of_one_look_has_an_identity_of_its_own() -> None:
    frame = _rich_frame()
    values = frame.values.copy()
    values[5, [1300, 1600]] += [40.0, 50.0]
    busy = PatternInput(frame.names, values, END_S, STEP_S, frame.event_types, frame.event_times_s)
    findings = find_patterns(busy, SETTINGS, END_S, 0)
    assert sum(finding.kind == "anomaly" and finding.subject == "m5" for finding in findings) >= 3
    assert len({finding.identity for finding in findings}) == len(findings)


def test_events_and_series_looked_at_apart_give_the_same_as_together() -> None:
    frame = _rich_frame()
    events = find_event_patterns(frame, SETTINGS, END_S)
    recurrent = {finding.subject for finding in events if finding.kind == "recurrence"}
    series = find_series_patterns(frame, SETTINGS, END_S, 0, recurrent)
    together = find_patterns(frame, SETTINGS, END_S, 0)
    assert {f.identity for f in together} == {f.identity for f in (*events, *series)}


def test_strongest_come_first_and_no_kind_floods_the_rest() -> None:
    values = worlds.noise(np.random.default_rng(0), 30, 2016, 0.5)
    values[:, 1900] += 30.0
    findings = find_patterns(worlds.frame_of(values), SearchSettings(max_findings_per_kind=5), END_S, 0)
    anomalies = [finding.strength for finding in findings if finding.kind == "anomaly"]
    assert len(anomalies) == 5
    assert anomalies == sorted(anomalies, reverse=True)


@given(
    values=arrays.arrays(float, st.tuples(st.integers(1, 4), st.integers(0, 400)), elements=st.floats(-5, 5) | ODD),
    filler=st.lists(st.tuples(st.integers(0, 3), ODD), max_size=4),
    times=st.lists(
        st.floats(END_S - 40 * DAY_S, END_S + DAY_S) | st.sampled_from([np.nan, np.inf, -1e300, END_S]), max_size=60
    ),
    step_s=st.sampled_from([1.0, 300.0, 3600.0, DAY_S]),
)
@settings(max_examples=sized(30, 60), deadline=None)
def test_no_input_of_the_right_shape_raises(
    values: Floats, filler: list[tuple[int, float]], times: list[float], step_s: float
) -> None:
    for row, value in filler:
        values[row % len(values)] = value
    types = [f"e{number % 3}" for number in range(len(times))]
    frame = PatternInput([f"m{row}" for row in range(len(values))], values, END_S, step_s, types, np.array(times))
    for finding in find_patterns(frame, SETTINGS, END_S, 0):
        _assert_sound(finding)


@pytest.mark.parametrize("value", [0.0, 5.0, -1e300, 1e300, np.nan, np.inf])
def test_constant_and_missing_series_yield_nothing(value: float) -> None:
    assert find_patterns(worlds.frame_of(np.full((3, 2016), value)), SETTINGS, END_S, 0) == ()


def test_huge_values_in_one_series_leave_the_findings_of_the_others_alone() -> None:
    frame = _rich_frame()
    spoilt = frame.values.copy()
    spoilt[7] = np.resize([1e300, -1e300, np.nan], spoilt.shape[1])
    harmed = PatternInput(frame.names, spoilt, END_S, STEP_S, frame.event_types, frame.event_times_s)
    per_series = {"anomaly", "change_point"}
    here = [f for f in find_patterns(frame, SETTINGS, END_S, 0) if f.kind in per_series and f.subject != "m7"]
    there = [f for f in find_patterns(harmed, SETTINGS, END_S, 0) if f.kind in per_series and f.subject != "m7"]
    assert here == there


def test_shapes_that_disagree_are_refused_with_a_remedy() -> None:
    for arguments in (
        (["a"], np.zeros((2, 5)), END_S, STEP_S),
        (["a"], np.zeros((1, 5)), END_S, 0.0),
        (["a"], np.zeros((1, 5)), np.nan, STEP_S),
        (["a"], np.zeros((1, 5)), 1e300, STEP_S),
        (["a"], np.zeros((1, 5)), END_S, STEP_S, ["x"], np.empty(0)),
    ):
        with pytest.raises(ForeactError) as refusal:
            PatternInput(*arguments)  # type: ignore[arg-type]
        assert refusal.value.code == "patterns.bad_shape"
        assert refusal.value.remedy


def test_unknown_time_zones_and_impossible_ticks_are_refused() -> None:
    with pytest.raises(ForeactError, match="Mars/Olympus"):
        SearchSettings(timezone="Mars/Olympus")
    with pytest.raises(ForeactError):
        find_patterns(_rich_frame(), SETTINGS, np.nan, 0)


@given(arrays.arrays(float, st.integers(0, 30), elements=st.floats(0, 1)))
def test_adjusted_p_values_are_ordered_bounded_and_never_smaller(p_values: Floats) -> None:
    adjusted = adjusted_p_values(p_values)
    assert (adjusted >= p_values - 1e-15).all()
    assert (adjusted <= 1.0).all()
    order = np.argsort(p_values)
    assert (np.diff(adjusted[order]) >= -1e-15).all()


def test_adjusted_p_values_agree_with_scipy() -> None:
    from scipy.stats import false_discovery_control

    p_values = np.random.default_rng(0).random(50) ** 3
    np.testing.assert_allclose(adjusted_p_values(p_values), false_discovery_control(p_values))


@given(arrays.arrays(float, st.tuples(st.integers(1, 3), st.integers(1, 50)), elements=st.floats(-1e6, 1e6)))
def test_shift_p_values_lie_between_one_shift_and_all(scores: Floats) -> None:
    p_values = shift_p_values(scores, scores.shape[1] // 2)
    assert (p_values > 0.0).all()
    assert (p_values <= 1.0).all()


def test_standardised_rows_are_free_of_unit_and_level() -> None:
    values = np.random.default_rng(0).normal(size=(1, 500))
    plain, _, _ = standardised(values)
    moved, centre, scale = standardised(values * 1e250)
    np.testing.assert_allclose(plain, moved, rtol=1e-9)
    np.testing.assert_allclose(moved * scale[:, None] + centre[:, None], values * 1e250, rtol=1e-9)


def test_importing_the_room_brings_in_neither_prefect_nor_scipy() -> None:
    code = "import sys, tasks.patterns; print([m for m in ('prefect', 'scipy', 'ruptures') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def _assert_sound(finding: Finding) -> None:
    json.dumps(dict(finding.evidence), allow_nan=False)
    assert 0.0 <= finding.strength <= 1.0
    assert finding.p_value is None or 0.0 <= finding.p_value <= 1.0
    assert finding.next_at_s is None or finding.next_at_s > END_S
    assert type(finding.strength) is float
