"""What acts change over their age is learned from a metric's history, all acts at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.records import FloatArray
from tasks.interventions.effect_over_time import (
    AGE_EDGES,
    ActEffects,
    Noise,
    PassingAct,
    design,
    fit_effects,
    is_clock,
    without_shift,
)

STEP_S, HOUR_S = 300.0, 3_600.0
START = datetime(2026, 3, 2, tzinfo=UTC)
STEPS = 1_400


def moment(step: int) -> datetime:
    return START + timedelta(seconds=step * STEP_S)


def act(step: int, action: str = "shed", hours: float = 1.0, undone_at: datetime | None = None) -> PassingAct:
    return PassingAct("load", f"{action} {step}", action, moment(step), hours * HOUR_S, undone_at)


def wandering(seed: int, steps: int = STEPS) -> FloatArray:
    rng = np.random.default_rng(seed)
    level, values = 0.0, np.empty(steps)
    for step in range(steps):
        level = 0.97 * level + rng.normal(0, 4.0)
        values[step] = 200 + level + rng.normal(0, 3.0)
    return values


def at(values: FloatArray, acts: list[PassingAct], changes: dict[str, tuple[float, float, float]]) -> FloatArray:
    """Add to each act's metric what its action changes, from one age in hours to another."""
    changed = values.copy()
    for each in acts:
        change, first_h, last_h = changes[each.action]
        begins = round((each.start - START).total_seconds() / STEP_S)
        changed[begins + round(first_h * 12) : begins + round(last_h * 12)] += change
    return changed


def fitted(values: FloatArray, acts: list[PassingAct]) -> ActEffects:
    effects = fit_effects(values, moment(len(values)), STEP_S, acts)
    assert effects is not None
    return effects


def test_harm_that_comes_half_an_hour_late_is_found_at_its_age() -> None:
    acts = [act(step, "churn", 1.5) for step in range(600, 1_300, 90)]
    effects = fitted(at(wandering(1), acts, {"churn": (40.0, 0.5, 1.5)}), acts)
    ends_s = acts[-1].start.timestamp() + STEP_S * np.arange(1, 19)
    change = effects.changes(ends_s, [acts[-1]])
    assert abs(change[:6].mean()) < 10
    assert change[9:].mean() == pytest.approx(40, abs=10)


def test_what_is_declared_to_work_late_is_expected_to_end_as_much_later() -> None:
    acts = [replace(act(step), latency_s=HOUR_S / 3) for step in range(500, 1_300, 90)]
    effects = fitted(at(wandering(5), acts, {"shed": (-40.0, 1 / 3, 4 / 3)}), acts)
    change = effects.changes(acts[-1].start.timestamp() + STEP_S * np.arange(1, 25), [acts[-1]])
    assert change[:4].tolist() == [0.0] * 4
    assert change[4:16].mean() == pytest.approx(-40, abs=8)
    assert abs(change[16:].mean()) < 10


def test_two_actions_on_one_metric_are_told_apart_though_their_acts_overlap() -> None:
    acts = [each for step in range(500, 1_300, 60) for each in (act(step, "shed"), act(step + 5, "stir"))]
    effects = fitted(at(wandering(2), acts, {"shed": (-40.0, 0, 1), "stir": (0.0, 0, 1)}), acts)
    shed, stir = (effects.over_life(each)[0] for each in acts[-2:])
    assert shed == pytest.approx(-40, abs=9)
    assert stir == pytest.approx(0, abs=9)


def test_an_effect_that_lingers_longer_than_declared_is_seen() -> None:
    acts = [act(step) for step in range(400, 1_300, 60)]
    effects = fitted(at(wandering(3), acts, {"shed": (-50.0, 0, 2.0)}), acts)
    rows = effects.rows(acts[-1].start.timestamp() + HOUR_S + STEP_S * np.arange(1, 7), [acts[-1]])
    late, variance = rows[0] @ effects.mean, rows[0] @ effects.covariance @ rows[0]
    assert late < -3 * np.sqrt(variance)
    assert late < -12


@pytest.mark.parametrize("seed", range(6))
def test_the_interval_of_an_effect_holds_the_truth(seed: int) -> None:
    acts = [act(step) for step in range(700 + seed, 1_200, 110)]
    effects = fitted(at(wandering(seed), acts, {"shed": (-30.0, 0, 1)}), acts)
    mean, variance, _ = effects.over_life(acts[0])
    assert abs(mean + 30) < 3 * np.sqrt(variance)


def test_of_an_act_never_seen_before_nothing_but_doubt_is_believed() -> None:
    effects = fitted(wandering(4), [act(STEPS - 1, "new")])
    mean, variance, before = effects.over_life(act(STEPS - 1, "new"))
    assert abs(mean) < np.sqrt(variance)
    assert variance > 0.3 * before


def test_an_act_that_stays_in_force_leaves_less_doubt_ahead_than_one_that_ends() -> None:
    staying, ending = (
        fitted(at(wandering(5), [each], {"shed": (-30.0, 0, 9)}), [each]).ahead(3)[1][0]
        for each in (act(STEPS - 20, hours=9.0), act(STEPS - 12, hours=1.0))
    )
    assert staying < ending


def test_too_short_or_still_a_history_says_nothing() -> None:
    acts = [act(30)]
    assert fit_effects(wandering(6, 40), moment(40), STEP_S, acts) is None
    assert fit_effects(np.full(400, 3.0), moment(400), STEP_S, acts) is None
    assert fit_effects(wandering(6), moment(STEPS), STEP_S, []) is None


@given(st.floats(0, 0.95), st.floats(0.05, 1))
def test_whitening_is_the_recursion_of_its_noise(smoothed: float, kept: float) -> None:
    values = np.random.default_rng(0).normal(size=(60, 2))
    expected = np.zeros_like(values)
    for step in range(60):
        before, new = (values[step - 1], expected[step - 1]) if step else (0.0, 0.0)
        expected[step] = values[step] - kept * before + smoothed * new
    np.testing.assert_allclose(Noise(kept, smoothed, 1.0).whitened(values), expected, atol=1e-5)


@given(st.integers(0, 60), st.floats(0.25, 3), st.floats(0, 1))
def test_each_step_holds_the_share_of_it_in_which_an_act_worked(start: int, hours: float, undone: float) -> None:
    life_s = AGE_EDGES[-1] * hours * HOUR_S
    until = moment(start) + timedelta(seconds=undone * life_s)
    each = act(start, hours=hours, undone_at=until)
    ends_s = START.timestamp() + STEP_S * np.arange(1, 400)
    rows = design(ends_s, STEP_S, [each], ("shed",), ())[:, : len(AGE_EDGES) - 1]
    assert rows.sum() * STEP_S == pytest.approx(undone * life_s, abs=1e-3)
    assert ((rows >= 0) & (rows <= 1)).all()


def test_a_level_that_stays_after_a_release_is_not_laid_to_an_act_that_ran_then() -> None:
    values = 120 + np.random.default_rng(3).normal(0, 10, STEPS)
    acts = [act(step, hours=0.5) for step in (1_000, 1_010, 1_020, 1_200, 1_300)]
    values[1_004:] += 80
    change, variance, _ = fitted(values, acts).over_life(acts[-1])
    assert abs(change) < 15
    assert variance < 15**2


@given(st.integers(200, 1_200), st.sampled_from([-60.0, 60.0]), st.integers(0, 9))
def test_a_history_is_told_on_the_level_that_it_came_to(changed: int, shift: float, seed: int) -> None:
    plain = np.random.default_rng(seed).normal(0, 5, STEPS)
    values = plain + np.where(np.arange(STEPS) < changed, 0.0, shift)
    moved, is_open = without_shift(values, np.zeros(STEPS), np.ones(STEPS, dtype=np.bool_), 36)
    assert np.abs(moved - plain - shift).max() < 4
    assert not is_open.any()


def test_which_level_counted_while_acts_were_in_force_stays_open() -> None:
    values = np.random.default_rng(0).normal(0, 5, STEPS) + np.where(np.arange(STEPS) < 700, 0.0, 60.0)
    free = (np.arange(STEPS) < 650) | (np.arange(STEPS) >= 800)
    _, is_open = without_shift(values, np.zeros(STEPS), free, 36)
    np.testing.assert_array_equal(np.flatnonzero(is_open), np.arange(650, 800))


def test_what_wanders_has_no_lasting_shift() -> None:
    values = wandering(2)
    moved, _ = without_shift(values, np.full(STEPS, 200.0), np.ones(STEPS, dtype=np.bool_), 36)
    assert moved is values


def test_of_acts_on_what_rises_as_a_clock_does_no_effect_on_its_level_is_believed() -> None:
    values = np.tile(np.r_[np.zeros(180), 300.0 * np.arange(1, 21)], STEPS // 200)
    assert fit_effects(values, moment(len(values)), STEP_S, [act(step) for step in (780, 1_190)]) is None


def test_a_clock_rises_evenly_and_begins_anew_and_nothing_else_is_one() -> None:
    rng = np.random.default_rng(0)
    assert is_clock(np.concatenate([STEP_S * np.arange(40), STEP_S * np.arange(70), np.zeros(30)]))
    assert not is_clock(rng.normal(50, 5, 300))
    assert not is_clock(np.full(300, 7.0))
    assert not is_clock(np.cumsum(rng.exponential(1.0, 300)))


def test_the_hour_of_an_act_is_that_of_the_clocks_that_people_look_at() -> None:
    def rows(zone: tzinfo) -> list[FloatArray]:
        nines = [datetime(2026, 3, 28, 8, tzinfo=UTC), datetime(2026, 3, 30, 7, tzinfo=UTC)]
        acts = [replace(act(0), start=at, zone=zone) for at in nines]
        ends_s = [each.start.timestamp() + STEP_S * (1 + np.arange(24)) for each in acts]
        return [design(ends, STEP_S, [each], ["shed"], []) for ends, each in zip(ends_s, acts, strict=True)]

    before, after = rows(ZoneInfo("Europe/Berlin"))
    assert after == pytest.approx(before)
    before, after = rows(UTC)
    assert after != pytest.approx(before)
