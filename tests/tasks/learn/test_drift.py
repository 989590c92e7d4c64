"""Evidence that the world has changed comes quickly where it has, and hardly ever where it has not."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.learn.drift import HARM_LIMIT, MISS_LIMIT, ActSeen, after_look, harm_evidence, made_anew, miss
from tests import sized

HELPED = ActSeen(is_harm=False, effect=1.4, error=0.5, believed=1.3)


def looks_until_found(misses: np.ndarray, limit: float = MISS_LIMIT) -> int | None:
    evidence, before = 0.0, list[float]()
    for place, each in enumerate(misses):
        evidence = after_look(evidence, float(each), before)
        before = [*before, float(each)][-100:]
        if evidence >= limit:
            return place
    return None


def test_thirty_quiet_days_of_looks_hardly_ever_raise_an_alarm() -> None:
    rng = np.random.default_rng(5)
    runs = sized(40, 400)
    found = [looks_until_found(rng.lognormal(-0.7, 0.6, 720)) for _ in range(runs)]
    assert sum(each is not None for each in found) <= 0.05 * runs


def test_misses_that_triple_are_found_within_a_day() -> None:
    rng = np.random.default_rng(6)
    for _ in range(20):
        misses = np.concatenate([rng.lognormal(-0.7, 0.4, 100), rng.lognormal(-0.7 + np.log(3), 0.4, 24)])
        found = looks_until_found(misses)
        assert found is not None
        assert found >= 100


def test_nothing_is_said_before_a_day_was_seen() -> None:
    assert after_look(100.0, 9.0, [0.1] * 23) == 0.0


def test_an_act_that_plainly_harms_after_many_that_helped_is_enough() -> None:
    assert harm_evidence([HELPED] * 20) < 1
    assert harm_evidence([HELPED] * 20 + [ActSeen(True, -2.9, 0.5, 1.3)]) >= HARM_LIMIT


def test_one_act_that_was_taken_back_is_not_enough_and_several_are() -> None:
    taken_back = ActSeen(is_harm=True)
    assert harm_evidence([HELPED] * 20 + [taken_back]) < HARM_LIMIT
    assert harm_evidence([HELPED] * 20 + [taken_back] * 3) >= HARM_LIMIT


def test_a_first_act_that_harms_says_nothing_of_a_change() -> None:
    assert harm_evidence([ActSeen(True, -2.9, 0.5, 0.0)]) < HARM_LIMIT


def test_an_act_that_only_helps_less_than_believed_is_no_harm() -> None:
    assert harm_evidence([HELPED] * 20 + [ActSeen(False, 0.1, 0.2, 1.3)] * 5) < HARM_LIMIT


def test_acts_that_change_nothing_are_taken_for_harmful_once_in_fifty_or_less_often() -> None:
    rng, runs, found = np.random.default_rng(8), sized(10, 100), 0
    for _ in range(runs):
        acts = list[ActSeen]()
        for effect in rng.standard_t(8, 300) * 0.5:
            acts.append(ActSeen(bool(effect < -1.15), float(effect), 0.5, 0.0))
            if harm_evidence(acts[-30:]) >= HARM_LIMIT:
                found, acts = found + 1, list[ActSeen]()
    assert found <= 300 * runs / HARM_LIMIT


def test_acts_whose_errors_are_as_they_say_are_hardly_ever_taken_for_harmful() -> None:
    rng, runs = np.random.default_rng(7), sized(30, 300)
    found = 0
    for _ in range(runs):
        effects = 0.8 + rng.standard_t(8, 300) * 0.5
        acts = [ActSeen(each < -0.8, float(each), 0.5, 0.8) for each in effects]
        found += any(harm_evidence(acts[:count]) >= HARM_LIMIT for count in range(10, 300, 10))
    assert found <= 0.2 * runs


def test_a_miss_is_in_half_widths_and_one_far_off_counts_as_ten() -> None:
    point, half = np.zeros(3), np.array([1.0, 2.0, 0.0])
    assert miss(np.array([1.0, 2.0, np.nan]), point, half) == pytest.approx(1.0)
    assert miss(np.array([0.0, 0.0, 5.0]), point, half) == pytest.approx(10 / 3)
    assert np.isnan(miss(np.full(3, np.nan), point, half))


def test_the_make_up_is_new_as_far_as_series_came_and_went() -> None:
    assert made_anew("abcd", "abcd") == 0
    assert made_anew("abcd", "wxyz") == 1
    assert made_anew("abcd", "ab") == 0.5
    assert made_anew("abc", "xyz") == 0  # too few to tell
