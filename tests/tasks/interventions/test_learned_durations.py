"""How long an act works is told by the history alone, where it can be told."""

from __future__ import annotations

import numpy as np
import pytest

from storage.records import FloatArray
from tasks.interventions.learned_durations import ActedHistory, ActSpan

STEP_S, DAYS = 300.0, 5
ENDS_S = 1_772_668_800.0 + STEP_S * np.arange(1, DAYS * 288 + 1)
MINUTES = 60.0


def anyway(seed: int) -> FloatArray:
    """Return a metric with a day in it and a wander, (n_steps,)."""
    rng = np.random.default_rng(seed)
    values, value = np.empty(len(ENDS_S)), 0.0
    for i in range(len(values)):
        value = 0.95 * value + rng.normal(0, 2)
        values[i] = value
    return 100 + 15 * np.sin(2 * np.pi * ENDS_S / 86_400) + values + rng.normal(0, 1, len(values))


def starts(seed: int, count: int) -> FloatArray:
    """Return when acts began on the last three days, in epoch seconds, ascending."""
    rng = np.random.default_rng([seed, 1])
    return np.sort(rng.choice(ENDS_S[2 * 288 : -24], count, replace=False))


def age_s(starts_s: FloatArray) -> FloatArray:
    """Return how old each act is in each step, (n_steps, n_acts)."""
    return ENDS_S[:, None] - STEP_S - starts_s


def history(values: FloatArray, starts_s: FloatArray, *others: ActSpan) -> ActedHistory:
    return ActedHistory(values, float(ENDS_S[-1]), STEP_S, starts_s, others)


@pytest.mark.parametrize("minutes", [20, 35, 60, 150])
@pytest.mark.parametrize("seed", range(3))
def test_a_length_that_nobody_declared_is_found_to_a_tenth(minutes: float, seed: int) -> None:
    starts_s = starts(seed, 8)
    lasts = (age_s(starts_s) >= 0) & (age_s(starts_s) < minutes * MINUTES)
    found_s = history(anyway(seed) - 20 * lasts.sum(axis=1), starts_s).learned_duration_s()
    assert found_s == pytest.approx(minutes * MINUTES, rel=0.1)


@pytest.mark.parametrize("seed", range(6))
def test_of_acts_that_do_nothing_no_length_is_told(seed: int) -> None:
    assert history(anyway(seed), starts(seed, 8)).learned_duration_s() is None


@pytest.mark.parametrize("seed", range(6))
def test_of_acts_whose_effect_stays_no_length_is_told(seed: int) -> None:
    starts_s = starts(seed, 5)
    acted = history(anyway(seed) - 12.0 * (age_s(starts_s) >= 0).sum(axis=1), starts_s)
    assert acted.learned_duration_s() is None
    assert acted.stays()


@pytest.mark.parametrize("minutes", [0, 60])
@pytest.mark.parametrize("seed", range(3))
def test_what_does_nothing_or_passes_is_not_seen_to_stay(minutes: float, seed: int) -> None:
    starts_s = starts(seed, 8)
    lasts = (age_s(starts_s) >= 0) & (age_s(starts_s) < minutes * MINUTES)
    assert not history(anyway(seed) - 20 * lasts.sum(axis=1), starts_s).stays()


@pytest.mark.parametrize("seed", range(6))
def test_of_a_cure_no_length_is_told(seed: int) -> None:
    starts_s, fault = starts(seed, 6), np.zeros(len(ENDS_S))
    for start_s in starts_s:
        fault[(start_s - 40 * MINUTES < ENDS_S) & (start_s >= ENDS_S)] = 60
    assert history(anyway(seed) + fault, starts_s).learned_duration_s() is None


@pytest.mark.parametrize("seed", range(6))
def test_of_a_cure_that_hurts_at_first_no_length_is_told(seed: int) -> None:
    starts_s, fault = starts(seed, 6), np.zeros(len(ENDS_S))
    for start_s in starts_s:
        fault[(start_s - 60 * MINUTES < ENDS_S) & (start_s + 30 * MINUTES >= ENDS_S)] = 30
        fault[(start_s < ENDS_S) & (start_s + 30 * MINUTES >= ENDS_S)] = 60
    assert history(anyway(seed) + fault, starts_s).learned_duration_s() is None


def test_two_acts_are_too_few() -> None:
    starts_s = starts(0, 2)
    lasts = (age_s(starts_s) >= 0) & (age_s(starts_s) < 60 * MINUTES)
    assert history(anyway(0) - 20 * lasts.sum(axis=1), starts_s).learned_duration_s() is None


def test_other_acts_in_force_do_not_blur_it() -> None:
    starts_s, others_s = starts(3, 8), starts(4, 8)
    lasts = (age_s(starts_s) >= 0) & (age_s(starts_s) < 40 * MINUTES)
    longer = (age_s(others_s) >= 0) & (age_s(others_s) < 120 * MINUTES)
    values = anyway(3) - 20 * lasts.sum(axis=1) + 15 * longer.sum(axis=1)
    others = [ActSpan(each, each + 120 * MINUTES) for each in others_s]
    assert history(values, starts_s, *others).learned_duration_s() == pytest.approx(40 * MINUTES, rel=0.1)


@pytest.mark.parametrize("values", [np.full(len(ENDS_S), 5.0), np.full(len(ENDS_S), np.nan)])
def test_a_metric_that_never_moved_or_was_never_seen_tells_nothing(values: FloatArray) -> None:
    assert history(values, starts(0, 6)).learned_duration_s() is None


def test_gaps_are_borne() -> None:
    starts_s = starts(1, 8)
    lasts = (age_s(starts_s) >= 0) & (age_s(starts_s) < 60 * MINUTES)
    values = anyway(1) - 20 * lasts.sum(axis=1)
    values[np.random.default_rng(5).random(len(values)) < 0.15] = np.nan
    assert history(values, starts_s).learned_duration_s() == pytest.approx(3_600, rel=0.1)
