"""Anomalies: what is flagged, and that neither scale nor the future changes it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmarks import patterns_nab as nab
from benchmarks import patterns_worlds as worlds
from tasks.patterns import SearchSettings
from tasks.patterns.anomalies import _rolling_tail, alert_scores, anomaly_scores, find_anomalies
from tasks.patterns.inputs import Floats
from tests import sized

SETTINGS = SearchSettings()
SERIES = arrays.arrays(
    float,
    st.tuples(st.integers(1, 3), st.integers(1, 160)),
    elements=st.one_of(st.floats(-100, 100), st.sampled_from([np.nan, 0.0, 1.0, 1e300, -1e300, np.inf, -np.inf])),
)


def _noise(n_steps: int = 2016) -> Floats:
    return worlds.noise(np.random.default_rng(0), 2, n_steps, 0.8)


def test_a_spike_is_found_at_its_step_and_its_series() -> None:
    values = _noise()
    values[1, 1900] += 15.0
    (finding,) = find_anomalies(worlds.frame_of(values), SETTINGS)
    assert finding.subject == "m1"
    assert finding.evidence["at_s"] == worlds.END_S - (2015 - 1900) * worlds.STEP_S
    assert finding.evidence["value"] == values[1, 1900]


def test_the_echo_of_a_larger_anomaly_is_no_second_finding() -> None:
    values = _noise()
    values[0, 1700] += 15.0
    values[0, 1800] += 8.0
    assert len(find_anomalies(worlds.frame_of(values), SETTINGS)) == 1


def test_steady_noise_is_seldom_flagged() -> None:
    values = worlds.noise(np.random.default_rng(1), 100, 2016, 0.8)
    scores = anomaly_scores(values)
    assert (scores[:, 500:] >= SETTINGS.anomaly_threshold).mean() <= 0.001


def test_the_first_move_of_a_constant_series_is_an_anomaly() -> None:
    values = np.full((1, 300), 7.0)
    assert not anomaly_scores(values).any()
    values[0, 250] = 8.0
    (finding,) = find_anomalies(worlds.frame_of(values), SETTINGS)
    assert finding.evidence["expected"] == 7.0


def test_a_gap_is_no_anomaly_and_hides_none_after_it() -> None:
    values = _noise()
    values[:, 1000:1200] = np.nan
    values[0, 1500] += 15.0
    scores = anomaly_scores(values)
    assert not scores[:, 1000:1201].any()
    assert scores[0, 1500] > SETTINGS.anomaly_threshold


@given(values=SERIES, power=st.integers(-20, 20))
@settings(max_examples=sized(40, 80), deadline=None)
def test_scaling_a_series_changes_no_score(values: Floats, power: int) -> None:
    # Outside these sizes floats lose digits or overflow.
    sizes = np.abs(values)
    bounded = np.where((sizes > 1e200) | ((sizes < 1e-200) & (sizes > 0)), np.nan, values)
    np.testing.assert_array_equal(anomaly_scores(bounded), anomaly_scores(bounded * 2.0**power))


@given(values=SERIES, cut=st.integers(1, 159))
@settings(max_examples=sized(40, 80), deadline=None)
def test_future_data_never_changes_a_past_score(values: Floats, cut: int) -> None:
    cut = min(cut, values.shape[1])
    np.testing.assert_array_equal(anomaly_scores(values[:, :cut]), anomaly_scores(values)[:, :cut])
    quiet = alert_scores(anomaly_scores(values), 20)
    np.testing.assert_array_equal(alert_scores(anomaly_scores(values[:, :cut]), 20), quiet[:, :cut])


@given(values=SERIES)
@settings(max_examples=sized(40, 80), deadline=None)
def test_scores_are_finite_whatever_comes(values: Floats) -> None:
    scores = anomaly_scores(values)
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()
    assert not scores[~np.isfinite(values)].any()


def test_the_tail_makes_a_better_yardstick_than_the_mad() -> None:
    recordings = nab.synthetic(0)
    here = nab.nab_score(recordings, [nab.room_alerts(r.values) for r in recordings])
    by_mad = nab.nab_score(recordings, [nab.residual_over_mad(r.values) for r in recordings])
    assert here.score >= 75.0
    assert here.score > by_mad.score


def test_the_score_of_nab_is_0_for_silence_and_100_for_the_earliest_flags() -> None:
    recordings = nab.synthetic(0)
    silence = [np.zeros(len(r.values)) for r in recordings]
    perfect = [np.isin(np.arange(len(r.values)), [w[0] for w in r.windows]).astype(float) for r in recordings]
    everything = [np.ones(len(r.values)) for r in recordings]
    assert nab.nab_score(recordings, silence).score == pytest.approx(0.0)
    assert nab.nab_score(recordings, perfect).score == pytest.approx(100.0)
    assert nab.nab_score(recordings, everything, 0.5).score < 0.0


def test_a_late_flag_earns_less_and_a_flag_just_after_costs_less_than_a_stray_one() -> None:
    recording = nab.NabRecording("one", np.zeros(1000), ((400, 499),))
    window, gain = nab.row_gains(recording)
    assert gain[400] == pytest.approx(1.0)
    assert 1.0 > gain[450] > gain[499] > 0.0
    assert -1.0 < gain[510] < 0.0
    assert gain[300] == gain[900] == -1.0
    assert (window[400:500] == 0).all()
    assert recording.probation == 150


@settings(max_examples=40, deadline=None)
@given(st.integers(60, 2_400), st.sampled_from([0.0, 0.3, 0.97]), st.booleans(), st.integers(0, 2_300))
def test_the_tail_is_the_quantile_of_all_moves_before(n_steps: int, missing: float, rests: bool, since: int) -> None:
    random = np.random.default_rng(n_steps)
    sizes = np.abs(random.normal(size=(2, n_steps)))
    sizes[random.random(sizes.shape) < missing] = 0.0 if rests else np.nan
    tail = _rolling_tail(sizes, since)
    for step in (at for at in range(48, n_steps, 12) if at >= since):
        for row in range(2):
            past = sizes[row, max(0, step - 2_016) : step]
            past = np.sort(past[np.isfinite(past)])
            expected = np.nan
            if len(past) >= 48:
                expected = past[int(np.ceil(0.995 * (len(past) - 1)))]
                moves = past[past > 0]
                expected = expected if expected > 0 else (np.median(moves) if len(moves) else 0.0)
            np.testing.assert_array_equal(tail[row, step], expected)
