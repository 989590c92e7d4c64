"""What acts changed is taken back out of the history that forecasts are made from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from storage.records import FloatArray, Frame
from tasks.interventions.effect_over_time import ActEffects, PassingAct, fit_effects
from tasks.interventions.removed_from_history import within_nature, without_effects

END = datetime(2026, 3, 6, tzinfo=UTC)
STEP_S = 300.0
STEPS = 1_200
ACTS = [
    PassingAct("load", str(back), "shed", END - timedelta(seconds=back * STEP_S), 3_600.0) for back in range(6, 700, 40)
]


def load(change: float) -> FloatArray:
    values = 100 + np.random.default_rng(0).normal(0, 3, STEPS)
    for act in ACTS:
        begins = STEPS - round((END - act.start).total_seconds() / STEP_S)
        values[begins : begins + 12] += change
    return values


def frame_of(*rows: FloatArray, series: tuple[str, ...] = ("load",)) -> Frame:
    return Frame(series=series, values=np.array(rows, dtype=float), end=END, step_s=STEP_S)


def effects_of(values: FloatArray, acts: list[PassingAct] = ACTS) -> ActEffects:
    effects = fit_effects(values, END, STEP_S, acts)
    assert effects is not None
    return effects


def test_the_history_is_as_it_would_have_been_without_acts() -> None:
    seen = load(-30.0)
    cleaned = without_effects(frame_of(seen), {"load": effects_of(seen)})
    assert np.abs(cleaned.row("load") - load(0.0)).mean() < 1.5


def test_of_an_action_without_effect_hardly_anything_is_taken_out() -> None:
    seen = load(0.0)
    cleaned = without_effects(frame_of(seen), {"load": effects_of(seen)})
    assert np.abs(cleaned.row("load") - seen).max() < 3


def test_a_series_that_no_act_reached_is_handed_back_as_it_is() -> None:
    frame = frame_of(load(0.0), series=("other",))
    assert without_effects(frame, {"load": effects_of(load(-30.0))}) is frame
    assert without_effects(frame, {}) is frame


def test_a_share_stays_a_share_and_what_is_never_negative_does_not_become_so() -> None:
    shares = within_nature("cpu_used_ratio", np.array([0.9, 0.2]), np.array([1.3, -0.1]))
    assert shares.tolist() == [1.0, 0.0]
    assert within_nature("queue", np.array([5.0, np.nan]), np.array([-4.0, 9.0])).tolist() == [0.0, 9.0]
    assert within_nature("balance", np.array([-5.0, 5.0]), np.array([-9.0, 9.0])).tolist() == [-9.0, 9.0]
