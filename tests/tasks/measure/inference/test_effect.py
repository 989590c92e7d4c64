"""An effect is claimed only where past windows without an action vouch for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import ForeactError
from storage.records import Verdict
from tasks.measure import ErrorLedger, measure_effect
from tests.tasks.measure.worlds import HORIZON, rhythm

WORLD = rhythm(3)


def test_a_shift_of_two_sd_toward_the_goal_is_an_improvement() -> None:
    effect = measure_effect(WORLD.after - 2 * WORLD.sd, WORLD.forecast, WORLD.ledger, metric_sd=WORLD.sd)
    assert effect.verdict is Verdict.IMPROVED
    assert effect.low < -2 * WORLD.sd < effect.high
    assert effect.effect_sd_units == pytest.approx(2, abs=0.5)


def test_the_same_shift_is_worse_where_the_metric_should_rise() -> None:
    effect = measure_effect(
        WORLD.after - 2 * WORLD.sd, WORLD.forecast, WORLD.ledger, better="higher", metric_sd=WORLD.sd
    )
    assert effect.verdict is Verdict.WORSE
    assert effect.effect_sd_units < 0 < effect.standard_error_sd_units


def test_an_action_that_changes_nothing_is_no_effect_with_zero_in_the_interval() -> None:
    effect = measure_effect(WORLD.after, WORLD.forecast, WORLD.ledger, metric_sd=WORLD.sd)
    assert effect.verdict is Verdict.NO_EFFECT
    assert effect.low < 0 < effect.high


def test_no_data_after_the_action_is_unknown_and_never_success() -> None:
    effect = measure_effect(np.full(HORIZON, np.nan), WORLD.forecast, WORLD.ledger)
    assert effect.verdict is Verdict.UNKNOWN
    assert not effect.is_measured
    assert "0 of" in effect.reason
    assert np.isnan(effect.estimate)


def test_a_metric_that_stops_early_is_unknown_even_if_it_fell_first() -> None:
    observed = WORLD.after - 10 * WORLD.sd
    observed[8:] = np.nan
    assert measure_effect(observed, WORLD.forecast, WORLD.ledger).verdict is Verdict.UNKNOWN


def test_infinite_values_count_as_missing() -> None:
    assert measure_effect(np.full(HORIZON, -np.inf), WORLD.forecast, WORLD.ledger).verdict is Verdict.UNKNOWN


def test_without_a_forecast_nothing_is_known() -> None:
    effect = measure_effect(WORLD.after, np.full(HORIZON, np.nan), WORLD.ledger)
    assert effect.verdict is Verdict.UNKNOWN
    assert "no forecast" in effect.reason


def test_a_few_gaps_are_compared_with_past_windows_at_the_same_steps() -> None:
    observed = WORLD.after - 2 * WORLD.sd
    observed[::4] = np.nan
    effect = measure_effect(observed, WORLD.forecast, WORLD.ledger)
    assert effect.verdict is Verdict.IMPROVED
    assert effect.observed_steps == 18


@pytest.mark.parametrize("n_past", [0, 20, 49])
def test_fewer_than_ten_past_windows_are_inconclusive_whatever_the_shift(n_past: int) -> None:
    ledger = replace(WORLD.ledger, n_past=n_past)
    effect = measure_effect(WORLD.after - 9 * WORLD.sd, WORLD.forecast, ledger)
    assert effect.verdict is Verdict.INCONCLUSIVE
    assert "10 are needed" in effect.reason


def test_a_metric_without_any_past_is_inconclusive() -> None:
    effect = measure_effect(WORLD.after, WORLD.forecast, ErrorLedger.empty(HORIZON))
    assert effect.verdict is Verdict.INCONCLUSIVE
    assert np.isfinite(effect.estimate)
    assert not effect.is_measured


def test_another_action_in_the_same_window_confounds() -> None:
    effect = measure_effect(WORLD.after - 5 * WORLD.sd, WORLD.forecast, WORLD.ledger, overlapping=["restart", "limit"])
    assert effect.verdict is Verdict.CONFOUNDED
    assert "limit, restart" in effect.reason
    assert not effect.is_measured


def test_missing_data_outranks_confounding() -> None:
    effect = measure_effect(np.full(HORIZON, np.nan), WORLD.forecast, WORLD.ledger, overlapping=["restart"])
    assert effect.verdict is Verdict.UNKNOWN


def test_an_interval_too_wide_for_what_matters_is_inconclusive() -> None:
    effect = measure_effect(WORLD.after, WORLD.forecast, WORLD.ledger, relevant_effect=0.01)
    assert effect.verdict is Verdict.INCONCLUSIVE
    assert "cannot be ruled out" in effect.reason


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ForeactError) as refused:
        measure_effect(WORLD.after[:-1], WORLD.forecast, WORLD.ledger)
    assert refused.value.code == "measure_shape"
    assert refused.value.remedy


def test_a_metric_that_never_varied_shows_a_change_but_no_certainty_beyond_its_past() -> None:
    ledger = ErrorLedger(np.zeros((200, 10)), np.zeros(200), 0.0, 500)
    changed = measure_effect(np.full(10, 4.0), np.full(10, 5.0), ledger)
    assert changed.p_value == pytest.approx(1 / 51)
    assert changed.verdict is Verdict.IMPROVED
    assert measure_effect(np.full(10, 5.0), np.full(10, 5.0), ledger).verdict is Verdict.NO_EFFECT


def test_what_follows_a_peak_is_held_against_what_followed_earlier_peaks() -> None:
    rng = np.random.default_rng(0)
    peaks = np.arange(400) % 20 == 0
    errors = rng.normal(0, 1, (400, 10)) - np.where(peaks, 3.0, 0.0)[:, None]
    blind = ErrorLedger(errors, np.ones(400), 1.0, 4_000, origins=np.arange(400) * 10)
    aware = replace(blind, same_trigger=peaks)
    fallen = np.full(10, -3.0)
    assert measure_effect(fallen, np.zeros(10), blind).verdict is Verdict.IMPROVED
    effect = measure_effect(fallen, np.zeros(10), aware)
    assert effect.verdict is not Verdict.IMPROVED
    assert effect.triggered_windows == 20
    assert abs(effect.estimate) < 1


def test_few_windows_with_the_same_trigger_widen_the_interval() -> None:
    few = replace(WORLD.ledger, same_trigger=np.arange(len(WORLD.ledger.errors)) < 3)
    plain = measure_effect(WORLD.after, WORLD.forecast, WORLD.ledger)
    assert measure_effect(WORLD.after, WORLD.forecast, few).standard_error > plain.standard_error


@pytest.mark.parametrize(("foretold_sd", "wider"), [(0.0, 1.0), (0.01, 1.0), (100.0, 2.0)])
def test_a_forecast_that_took_itself_to_be_further_off_widens_the_interval_and_never_narrows_it(
    foretold_sd: float, wider: float
) -> None:
    usual = measure_effect(WORLD.after, WORLD.forecast, WORLD.ledger, metric_sd=WORLD.sd)
    unsure = replace(WORLD.ledger, foretold_error=np.full(HORIZON, foretold_sd * WORLD.sd))
    effect = measure_effect(WORLD.after, WORLD.forecast, unsure, metric_sd=WORLD.sd)
    assert effect.estimate == usual.estimate
    assert effect.high - effect.low >= wider * (usual.high - usual.low)


def test_a_window_fixed_beforehand_is_kept() -> None:
    effect = measure_effect(WORLD.after, WORLD.forecast, WORLD.ledger, window_steps=7)
    assert effect.window_steps == 7


def test_false_alarms_stay_near_their_nominal_rate_on_autocorrelated_noise() -> None:
    worlds = [rhythm(seed, persistence=0.9) for seed in range(120)]
    effects = [measure_effect(world.after, world.forecast, world.ledger) for world in worlds]
    assert np.mean([effect.p_value < 0.05 for effect in effects]) <= 0.10
    assert 0.83 <= np.mean([effect.low <= 0 <= effect.high for effect in effects]) <= 0.97


@settings(max_examples=40, deadline=None)
@given(shift=st.floats(-50, 50), factor=st.floats(0.01, 1_000))
def test_the_estimate_moves_with_a_shift_and_scales_with_the_unit(shift: float, factor: float) -> None:
    plain = measure_effect(WORLD.after, WORLD.forecast, WORLD.ledger)
    shifted = measure_effect(WORLD.after + shift, WORLD.forecast, WORLD.ledger)
    assert shifted.estimate == pytest.approx(plain.estimate + shift, abs=1e-9)
    assert shifted.standard_error == pytest.approx(plain.standard_error)
    scaled = replace(
        WORLD.ledger,
        errors=WORLD.ledger.errors * factor,
        scale=WORLD.ledger.scale * factor,
        current_scale=WORLD.ledger.current_scale * factor,
    )
    rescaled = measure_effect(WORLD.after * factor, WORLD.forecast * factor, scaled)
    assert rescaled.estimate == pytest.approx(plain.estimate * factor, rel=1e-6)
    assert rescaled.p_value == pytest.approx(plain.p_value, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(holes=st.sets(st.integers(0, HORIZON - 1)))
def test_gaps_never_make_an_improvement_out_of_nothing_seen(holes: set[int]) -> None:
    observed = WORLD.after.copy()
    observed[sorted(holes)] = np.nan
    effect = measure_effect(observed, WORLD.forecast, WORLD.ledger)
    if effect.verdict is Verdict.UNKNOWN:
        assert effect.observed_steps < 0.5 * effect.window_steps
    else:
        assert effect.low <= effect.estimate <= effect.high


@settings(max_examples=30, deadline=None)
@given(level=st.floats(1e-3, 1e12), left=st.floats(0.0, 0.9), seed=st.integers(0, 99))
def test_rounding_is_no_movement_so_a_constant_metric_that_falls_is_an_improvement(
    level: float, left: float, seed: int
) -> None:
    rounding = 1e-12 * level * np.random.default_rng(seed).normal(size=(200, 10))
    ledger = ErrorLedger(rounding, np.abs(rounding[:, 0]), 1e-12 * level, 500)
    fallen = measure_effect(np.full(10, left * level), np.full(10, level), ledger, metric_sd=1e-13 * level)
    assert fallen.verdict is Verdict.IMPROVED
    assert fallen.p_value == pytest.approx(1 / 51)
    assert "it never moved in 50 past windows" in fallen.reason
    assert 0 < fallen.effect_sd_units <= 1_001
    still = measure_effect(np.full(10, level * (1 + 1e-12)), np.full(10, level), ledger)
    assert (still.verdict, still.estimate) == (Verdict.NO_EFFECT, 0)
    assert "nor did it now" in still.reason


def test_a_constant_metric_with_too_few_past_windows_is_inconclusive() -> None:
    ledger = ErrorLedger(np.zeros((120, 10)), np.zeros(120), 0.0, 120)
    effect = measure_effect(np.full(10, 4.0), np.full(10, 5.0), ledger, window_steps=10)
    assert (effect.verdict, effect.p_value) == (Verdict.INCONCLUSIVE, pytest.approx(1 / 13))
    assert "it never moved in 12 past windows" in effect.reason


def test_a_metric_that_rests_is_judged_by_how_often_it_moved_that_far() -> None:
    errors = np.zeros((400, 10))
    errors[::20] = 5.0
    ledger = ErrorLedger(errors, np.zeros(400), 0.0, 4_000, origins=np.arange(400) * 10)
    usual = measure_effect(np.full(10, 5.0), np.zeros(10), ledger)
    assert usual.p_value > 0.05
    assert measure_effect(np.full(10, 9.0), np.zeros(10), ledger).verdict is Verdict.WORSE


def test_a_metric_at_zero_that_stays_there_was_not_changed() -> None:
    ledger = ErrorLedger(np.zeros((200, 10)), np.zeros(200), 0.0, 500)
    effect = measure_effect(np.zeros(10), np.zeros(10), ledger)
    assert (effect.verdict, effect.estimate, effect.effect_sd_units) == (Verdict.NO_EFFECT, 0, 0)
