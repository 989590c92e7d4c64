"""What acts changed is taken back out of the history that forecasts are made from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.records import Frame, GoalType, Outcome, ReceiptStatus, Verdict
from tasks.interventions.removed_from_history import PassingEffect, passing_effects_of, without_effects

END = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def frame_of(*rows: list[float], series: tuple[str, ...] = ("load",)) -> Frame:
    return Frame(series=series, values=np.array(rows, dtype=float), end=END, step_s=60.0)


def outcome_of(**given: object) -> Outcome:
    told = {
        "outcome_id": "o",
        "action_id": "a",
        "action": "shed",
        "goal_id": "g",
        "goal_type": GoalType.BOTTLENECK_PREVENTION,
        "strategy": "IMMEDIATE",
        "series": "load",
        "role": "target",
        "measured_at": END,
        "acted_at": END - 5 * MINUTE,
        "horizon_s": 120.0,
        "estimate": -30.0,
        "low": -35.0,
        "high": -25.0,
        "verdict": Verdict.IMPROVED,
        "status": ReceiptStatus.SUCCEEDED,
    }
    return Outcome.model_validate(told | given)


def test_what_the_action_does_is_taken_out_for_as_long_as_it_lasts() -> None:
    acts = [outcome_of(acted_at=END - 4 * MINUTE), outcome_of(acted_at=END - 90 * MINUTE)]
    touches = passing_effects_of(acts, {"shed": 120.0}, {})
    assert without_effects(frame_of([80, 60, 60, 80, 80]), touches).values.tolist() == [[80, 80, 80, 80, 80]]


def test_an_action_without_effect_hardly_touches_the_history_though_single_outcomes_are_conclusive() -> None:
    verdicts = {-30.0: Verdict.IMPROVED, 2.0: Verdict.NO_EFFECT, 28.0: Verdict.WORSE, -3.0: Verdict.INCONCLUSIVE}
    acts = [outcome_of(estimate=estimate, verdict=verdict) for estimate, verdict in verdicts.items()]
    assert {touch.change for touch in passing_effects_of(acts, {"shed": 120.0}, {})} == {-3.0 / 5}


def test_an_act_that_could_not_be_measured_counts_as_the_others() -> None:
    acts = [outcome_of(), outcome_of(estimate=-500.0, verdict=Verdict.CONFOUNDED)]
    assert [touch.change for touch in passing_effects_of(acts, {"shed": 120.0}, {})] == [-15.0, -15.0]


def test_an_undo_ends_the_change() -> None:
    (touch,) = passing_effects_of([outcome_of()], {"shed": 3_600.0}, {"a": END - 3 * MINUTE})
    assert touch.end == END - 3 * MINUTE


@pytest.mark.parametrize(
    ("given_outcome", "duration_s"),
    [
        (outcome_of(estimate=None, low=None, high=None, verdict=Verdict.UNKNOWN), 120.0),
        (outcome_of(status=ReceiptStatus.FAILED), 120.0),
        (outcome_of(), None),
    ],
    ids=["not measured", "failed", "lasting for good"],
)
def test_nothing_is_taken_out_where_no_passing_effect_was_measured(
    given_outcome: Outcome, duration_s: float | None
) -> None:
    assert passing_effects_of([given_outcome], {"shed": duration_s}, {}) == ()


def test_a_share_stays_a_share_and_what_is_never_negative_does_not_become_so() -> None:
    frame = frame_of([0.9, 0.9], [5.0, 5.0], series=("cpu_used_ratio", "queue"))
    touches = [
        PassingEffect("cpu_used_ratio", END - MINUTE, END, -0.4),
        PassingEffect("queue", END - MINUTE, END, 9.0),
    ]
    assert without_effects(frame, touches).values.tolist() == [[0.9, 1.0], [5.0, 0.0]]


def test_a_frame_that_no_act_reached_is_handed_back_as_it_is() -> None:
    frame = frame_of([1.0, np.nan])
    assert without_effects(frame, [PassingEffect("load", END - 90 * MINUTE, END - 60 * MINUTE, -3.0)]) is frame
    assert without_effects(frame, [PassingEffect("other", END - MINUTE, END, -3.0)]) is frame


@given(st.integers(0, 30), st.integers(1, 30), st.floats(-100, 100))
def test_what_is_put_on_in_a_window_comes_off_again(first: int, length: int, change: float) -> None:
    level = np.full(40, 500.0)
    start = END - (39 - first + 1) * MINUTE
    seen = level.copy()
    seen[first : first + length] += change
    found = without_effects(frame_of(seen.tolist()), [PassingEffect("load", start, start + length * MINUTE, change)])
    np.testing.assert_allclose(found.values[0], level)
