"""The marginal effect of an act beside others is told where it can be, else it is confounded."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import sqrt

import numpy as np
import pytest

from storage.records import Verdict
from tasks.interventions.effect_over_time import ActEffects, PassingAct, fit_effects
from tasks.measure.inference.effect import Effect
from tasks.measure.inference.other_acts import OtherActs, other_acts, with_doubt, with_others

END = datetime(2026, 3, 6, tzinfo=UTC)
STEP_S = 300.0
STEPS = 1_200
FOUND = Effect(
    Verdict.IMPROVED,
    "p = 0.01",
    estimate=-30.0,
    low=-40.0,
    high=-20.0,
    p_value=1e-4,
    standard_error=6.0,
    effect_sd_units=1.5,
    standard_error_sd_units=0.3,
    window_steps=2,
    past_windows=50.0,
)


def act(back: int) -> PassingAct:
    return PassingAct("load", str(back), "shed", END - timedelta(seconds=back * STEP_S), 3_600.0)


def effects_of(acts: list[PassingAct], change: float = -30.0) -> ActEffects:
    values = 100 + np.random.default_rng(0).normal(0, 3, STEPS)
    for each in acts:
        begins = STEPS - round((END - each.start).total_seconds() / STEP_S)
        values[max(0, begins) : max(0, begins + 12)] += change
    effects = fit_effects(values, END, STEP_S, acts)
    assert effects is not None
    return effects


def doubt_of(sd: float) -> OtherActs:
    return OtherActs(np.zeros(2), np.ones((2, 1)), np.array([[sd**2]]), ("b",))


def test_what_an_act_that_began_after_the_forecast_changes_is_expected_too() -> None:
    acts = [*map(act, range(60, 700, 40)), act(0)]
    others = other_acts(effects_of(acts), acts, 0, 2)
    assert others.change.mean() == pytest.approx(-30, abs=6)
    assert others.names == ("0",)


def test_what_an_act_in_force_changes_is_in_the_forecast_already_and_hardly_a_doubt() -> None:
    acts = [*map(act, range(60, 700, 40)), act(5)]
    others = other_acts(effects_of(acts), acts, 0, 2)
    assert others.change.tolist() == [0.0, 0.0]
    assert others.sd(2) < 3


def test_what_is_not_known_of_others_widens_the_interval_and_may_take_the_verdict() -> None:
    wider = with_others(FOUND, doubt_of(8.0), 0.05, 20.0)
    assert wider.standard_error == pytest.approx(10.0)
    assert wider.high - wider.low == pytest.approx(20 * 10 / 6)
    assert wider.verdict is Verdict.IMPROVED
    unsure = with_others(FOUND, doubt_of(11.9), 0.005, 20.0)
    assert unsure.standard_error == pytest.approx(sqrt(36 + 11.9**2))
    assert unsure.verdict is Verdict.INCONCLUSIVE


def test_acts_that_cannot_be_told_apart_are_confounded() -> None:
    assert with_others(FOUND, doubt_of(13.0), 0.05, 20.0).verdict is Verdict.CONFOUNDED
    assert with_others(FOUND, doubt_of(0.0), 0.05, 20.0) is FOUND


def test_a_doubt_widens_also_what_had_no_error_at_all() -> None:
    exact = replace(FOUND, low=FOUND.estimate, high=FOUND.estimate, standard_error=0.0)
    wider = with_doubt(exact, 10.0, 0.05, 20.0, "of a doubt")
    assert wider.standard_error == 10.0
    assert wider.high - wider.estimate == pytest.approx(16.8, abs=0.5)
    assert with_doubt(FOUND, 0.0, 0.05, 20.0, "of a doubt") is FOUND
