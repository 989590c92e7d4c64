"""How small an effect can be told is known before the act, and is what comes out after it."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from storage.records import Verdict
from tasks.measure import ErrorLedger, measure_effect
from tasks.measure.inference.detectable import POWER_WANTED, detectability
from tests.tasks.measure.worlds import DAY_STEPS, HORIZON, rhythm

FOUND = {Verdict.IMPROVED, Verdict.WORSE}


def test_power_grows_with_the_effect_from_the_rate_of_false_alarms_to_certainty() -> None:
    world = rhythm(1)
    told = detectability(world.forecast, world.ledger, HORIZON)
    assert told is not None
    powers = [told.power(each * told.error) for each in (0, 1, 2, 3, 5, 8)]
    assert powers == sorted(powers)
    assert powers[0] == pytest.approx(0.05, abs=0.03)
    assert powers[-1] > 0.99
    assert told.power(-2 * told.error) == pytest.approx(told.power(2 * told.error))


def test_the_smallest_effect_is_told_as_often_as_wanted_and_no_smaller_one_is() -> None:
    told = detectability(rhythm(2).forecast, rhythm(2).ledger, 12)
    assert told is not None
    smallest = told.smallest()
    assert told.power(smallest) >= POWER_WANTED > told.power(0.98 * smallest)


def test_what_was_foretold_is_found_as_often_in_many_worlds() -> None:
    foretold, found = [], []
    for seed in range(60):
        world = rhythm(seed, persistence=0.7)
        told = detectability(world.forecast, world.ledger, HORIZON)
        assert told is not None
        for errors in (1.5, -2.2, 3.0):
            effect = errors * told.error
            foretold.append(told.power(effect))
            verdict = measure_effect(world.after + effect, world.forecast, world.ledger).verdict
            found.append(verdict in FOUND)
    assert np.mean(found) == pytest.approx(np.mean(foretold), abs=0.1)


def test_a_past_too_short_for_a_verdict_tells_nothing_of_power() -> None:
    world = rhythm(3)
    assert detectability(world.forecast, ErrorLedger.empty(HORIZON), HORIZON) is None


def test_a_metric_that_rests_and_has_few_windows_can_tell_nothing() -> None:
    errors = np.zeros((30, HORIZON))
    errors[3] = 1.0
    ledger = ErrorLedger(errors, np.full(30, 0.1), 0.1, n_past=12 * HORIZON)
    told = detectability(np.full(HORIZON, 5.0), ledger, HORIZON)
    assert told is not None
    assert told.smallest() == inf, "twelve windows give p = 1/13 at least"


def test_where_forecasts_err_more_the_further_they_reach_the_first_steps_tell_more() -> None:
    rng = np.random.default_rng(4)
    errors = np.cumsum(rng.normal(0, 1, (20 * DAY_STEPS, HORIZON)), axis=1)
    ledger = ErrorLedger(errors, np.ones(len(errors)), 1.0, n_past=len(errors))
    level = np.full(HORIZON, 50.0)
    long, short = (detectability(level, ledger, steps) for steps in (HORIZON, 5))
    assert long is not None
    assert short is not None
    assert short.smallest() < long.smallest()
