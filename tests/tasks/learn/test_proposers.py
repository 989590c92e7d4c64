"""Who proposes earns his autonomy by what his acts changed, and loses it by them."""

from __future__ import annotations

import numpy as np
import pytest

from storage.records import Autonomy, ReceiptStatus, Verdict
from tasks.learn.outcome_rows import OutcomeRow
from tasks.learn.proposers import ON_TRIAL, review_proposer
from tests.tasks.learn.worlds import row, rows_of

APPROVE, AUTO, REFUSED = Autonomy.APPROVE, Autonomy.AUTO, Autonomy.OBSERVE


def level_after(rows: list[OutcomeRow]) -> tuple[Autonomy, int]:
    """Review after every act, and return the last level and after how many it last changed."""
    level, changed_at = APPROVE, 0
    for count in range(1, len(rows) + 1):
        verdict = review_proposer(level, rows[:count])
        if verdict.is_changed:
            level, changed_at = verdict.level, count
        if level is REFUSED:
            break
    return level, changed_at


def test_a_useless_proposer_is_refused_within_eight_acts_but_for_chance() -> None:
    ends = [level_after(rows_of({"stir": 0.0}, 30, seed=seed)) for seed in range(200)]
    refused_in_time = sum(level is REFUSED and count <= ON_TRIAL for level, count in ends)
    assert refused_in_time >= 0.9 * len(ends)
    assert not any(level is AUTO for level, _ in ends)


def test_a_useful_proposer_acts_without_a_person_after_its_trial_and_is_not_refused() -> None:
    ends = [level_after(rows_of({"shed": 0.8}, 30, seed=seed)) for seed in range(100)]
    assert all(level is AUTO for level, _ in ends)
    assert all(count >= ON_TRIAL for _, count in ends)


def test_one_that_was_useful_and_is_no_more_is_refused_within_eight_further_acts() -> None:
    good, bad = rows_of({"shed": 0.8}, 20, seed=1), rows_of({"stir": 0.0}, ON_TRIAL, seed=2)
    level, count = level_after([*good, *bad])
    assert (level, count - len(good) <= ON_TRIAL) == (REFUSED, True)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ([{"verdict": Verdict.WORSE, "effect_sd_units": -1.0}] * 2, "made things worse"),
        ([{"status": ReceiptStatus.FAILED, "effect_sd_units": np.nan}] * 3, "failed"),
        ([{"verdict": Verdict.CONFOUNDED, "effect_sd_units": np.nan}] * ON_TRIAL, "none could be measured"),
    ],
)
def test_harm_failures_and_what_nobody_can_measure_end_it(bad: list[dict[str, object]], why: str) -> None:
    verdict = review_proposer(APPROVE, [row(place, **changes) for place, changes in enumerate(bad)])
    assert (verdict.level, why in verdict.reason) == (REFUSED, True)


def test_before_its_trial_is_over_good_acts_alone_change_nothing() -> None:
    assert not review_proposer(APPROVE, rows_of({"shed": 0.8}, ON_TRIAL - 1)).is_changed
