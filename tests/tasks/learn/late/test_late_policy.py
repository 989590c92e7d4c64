"""What comes late is learned from logged choices, valued beside the planner, and admitted only where that is sure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from storage.facts import LateStanding
from storage.records import NOTHING
from tasks.learn.late.admission import CHANCE, LOOKS, judge_late, look_due
from tasks.learn.late.choice_log import ChoiceLog, LateState, log_of
from tasks.learn.late.fitted_q import KEPT_SHARE, fit, word_of
from tasks.learn.late.sequential_value import LateValue, evaluate_late
from tests.tasks.learn.late.choices import HORIZON_S, USUAL, Kind, lived, moments_s

STATE = LateState(0.5, 13.0)
AT = datetime(2026, 4, 1, tzinfo=UTC)
SHADOW = LateStanding(AT, 60, 1, False, AT, 0.1, 0.01, 30, 20, "")
BETTER = LateValue(mean=0.2, error=0.02, freedom=20.0, choices=120, differing=100, followed=30)
NO_BETTER = replace(BETTER, mean=0.01, error=0.05)
WORSE = replace(BETTER, mean=-0.2)


def logged(kind: Kind, seed: int = 1, days: int = 45) -> tuple[ChoiceLog, float]:
    choices, latency = lived(kind, seed, days)
    at_s = moments_s(latency)
    return log_of(choices, {"latency": (at_s, latency)}, HORIZON_S), float(at_s[-1])


def value_in(kind: Kind, seed: int, days: int = 45) -> LateValue:
    log, until_s = logged(kind, seed, days)
    value = evaluate_late(log, HORIZON_S, until_s)
    assert value is not None
    return value


def test_what_harms_later_is_left_and_what_helps_later_is_done() -> None:
    regretted, helping = (word_of(fit(logged(kind)[0]), STATE, USUAL) for kind in ("regret", "later"))
    assert regretted is not None
    assert regretted.instead in {NOTHING, "slow"}
    assert regretted.gain > 0
    assert helping is not None
    assert helping.instead == "slow"


def test_only_what_the_planner_would_draw_is_ever_preferred() -> None:
    policy = fit(logged("later")[0])
    word = word_of(policy, STATE, {NOTHING: 0.3, "quick": 0.7, "slow": 0.0})
    assert word is None or word.shares["slow"] == 0.0
    assert word_of(policy, STATE, {"quick": 1.0}) is None
    assert word_of(policy, STATE, USUAL | {"new": 0.1}) is None, "an arm that nothing is known of"


def test_a_part_of_the_planners_shares_always_stays() -> None:
    word = word_of(fit(logged("later")[0]), STATE, USUAL)
    assert word is not None
    assert sum(word.shares.values()) == pytest.approx(1.0)
    assert all(word.shares[arm] >= KEPT_SHARE * share - 1e-12 for arm, share in USUAL.items())


@pytest.mark.parametrize("kind", ["regret", "later"])
def test_a_late_effect_is_admitted_in_most_worlds_that_have_one(kind: Kind) -> None:
    admitted = [judge_late(None, 120, value_in(kind, seed), None).is_admitted for seed in range(6)]
    assert sum(admitted) >= 4


def test_where_acts_do_nothing_a_look_seldom_admits() -> None:
    values = [value_in("none", seed, days=30) for seed in range(60)]
    assert sum(each.low(CHANCE / LOOKS) > 0 for each in values) <= 3
    assert abs(np.mean([each.mean / each.error for each in values])) < 0.6


def test_what_a_choice_costs_lasts_until_the_next_one() -> None:
    log, _ = logged("none", days=10)
    assert (log.reward <= 0).all()
    assert (log.kept[log.following >= 0] < 1).all()
    assert (np.diff(log.at_s) > 0).all()


def test_choices_after_which_nothing_was_measured_are_left_out() -> None:
    choices, _ = lived("none", 1, 10)
    assert len(log_of(choices, {}, HORIZON_S)) == 0
    gone = {"latency": (np.array([0.0]), np.array([np.nan]))}
    assert len(log_of(choices, gone, HORIZON_S)) == 0


def test_too_few_days_tell_nothing() -> None:
    log, until_s = logged("regret", days=4)
    assert evaluate_late(log, HORIZON_S, until_s) is None
    verdict = judge_late(None, 60, None, None)
    assert (verdict.is_admitted, verdict.looks) == (False, 0)
    assert "too few days" in verdict.sentence


def test_looks_are_few_and_wait_until_choices_have_doubled() -> None:
    assert [look_due(count, 0) for count in (59, 60)] == [False, True]
    assert [look_due(count, 1) for count in (119, 120)] == [False, True]
    assert not look_due(10**6, LOOKS)
    assert judge_late(None, 130, NO_BETTER, None).looks == 2
    assert not look_due(130, 2)


def test_between_looks_nothing_is_admitted_however_good_it_seems() -> None:
    assert not judge_late(SHADOW, 119, BETTER, None).is_admitted
    verdict = judge_late(SHADOW, 120, BETTER, None)
    assert (verdict.is_admitted, verdict.looks) == (True, 2)


def test_admission_ends_when_its_bound_no_longer_holds_or_it_does_worse_since() -> None:
    admitted = replace(SHADOW, is_admitted=True)
    assert judge_late(admitted, 119, BETTER, None).is_admitted
    assert "no longer holds" in judge_late(admitted, 119, NO_BETTER, None).sentence
    taken = judge_late(admitted, 119, BETTER, WORSE)
    assert not taken.is_admitted
    assert "the planner would have done better" in taken.sentence


def test_what_was_hardly_ever_done_is_not_admitted() -> None:
    verdict = judge_late(SHADOW, 120, replace(BETTER, followed=9), None)
    assert not verdict.is_admitted
    assert "10 are needed" in verdict.sentence
