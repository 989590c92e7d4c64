"""Event → metric: power, false discoveries, and what the time of day could have done."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import patterns_worlds as worlds
from benchmarks.patterns_worlds import DAY_STEPS, END_S, STEP_S, PatternWorld
from tasks.patterns import PatternInput, SearchSettings, find_patterns
from tasks.patterns.effects import find_effects
from tasks.patterns.finding import Finding
from tasks.patterns.inputs import DAY_S, Floats
from tests import sized

SETTINGS = SearchSettings()
N_STEPS = 7 * DAY_STEPS


def _rates(worlds_: list[PatternWorld]) -> tuple[float, float]:
    false, power = [], []
    for world in worlds_:
        found = {(f.evidence["event_type"], f.evidence["metric"]) for f in find_effects(world.frame, SETTINGS, END_S)}
        false.append(len(found - world.truth) / max(len(found), 1))
        power.append(len(found & world.truth) / max(len(world.truth), 1))
    return float(np.mean(false)), float(np.mean(power))


def test_effects_are_found_at_the_promised_false_discovery_rate() -> None:
    false, power = _rates([worlds.effect_world(np.random.default_rng(run)) for run in range(sized(40, 80))])
    assert false <= 0.10
    assert power >= 0.90


def test_many_pairs_do_not_cost_the_power() -> None:
    false, power = _rates([worlds.effect_world(np.random.default_rng(run), n_types=40) for run in range(20)])
    assert false <= 0.15
    assert power >= 0.88


def test_heavy_tails_do_not_multiply_false_effects() -> None:
    false, power = _rates([worlds.effect_world(np.random.default_rng(run), heavy=True) for run in range(40)])
    assert false <= 0.15
    assert power >= 0.90


def _lifted(at_s: Floats, lift: float) -> PatternInput:
    """Return one noisy daily series lifted for an hour after each event 'job', and one that is not."""
    values = worlds.noise(np.random.default_rng(3), 2, N_STEPS, 0.5)
    for step in np.ceil((at_s - (END_S - STEP_S * (N_STEPS - 1))) / STEP_S).astype(int):
        values[0, step : step + 12] += lift
    return worlds.frame_of(values, ["job"] * len(at_s), at_s)


def _effects(frame: PatternInput) -> list[Finding]:
    return [f for f in find_patterns(frame, SETTINGS, END_S, 0) if f.kind == "effect"]


def test_the_size_of_an_effect_is_given_in_the_units_of_the_metric() -> None:
    at_s = END_S - np.sort(np.random.default_rng(0).uniform(0.1, 6.9, 30)) * DAY_S
    frame = _lifted(at_s, 3.0)
    scaled = PatternInput(frame.names, frame.values * 1000.0, END_S, STEP_S, frame.event_types, at_s)
    (effect,) = _effects(frame)
    (larger,) = _effects(scaled)
    assert effect.subject == "job → m0"
    assert float(str(effect.evidence["effect"])) == pytest.approx(3.0, abs=0.6)
    assert float(str(larger.evidence["effect"])) == pytest.approx(1000 * float(str(effect.evidence["effect"])))
    assert effect.evidence["confounded_with_time_of_day"] is False


def test_an_effect_of_a_strictly_nightly_event_is_said_not_to_be_told_from_the_time_of_day() -> None:
    (effect,) = _effects(_lifted(END_S - DAY_S * np.arange(7) - 5 * 3600.0, 4.0))
    assert effect.evidence["confounded_with_time_of_day"] is True
    assert "time of day" in effect.statement


def test_a_habit_of_the_clock_is_not_blamed_on_events_that_merely_share_the_hour() -> None:
    rng = np.random.default_rng(5)
    values = worlds.noise(rng, 1, N_STEPS, 0.5)
    # Every day at the same time the metric jumps, whether or not the event came within the hour before.
    steps = np.arange(7) * DAY_STEPS + 150
    for step in steps:
        values[0, step : step + 12] += 5.0
    at_s = END_S - STEP_S * (N_STEPS - 1 - steps[[0, 2, 3, 6]]) - 30.0
    for effect in find_effects(worlds.frame_of(values, ["job"] * 4, at_s), SETTINGS, END_S):
        assert effect.evidence["confounded_with_time_of_day"] is True


def test_events_outside_the_series_say_nothing() -> None:
    values = worlds.noise(np.random.default_rng(0), 1, N_STEPS, 0.5)
    at_s = END_S - 30 * DAY_S - np.arange(50) * 7200.0
    assert find_effects(worlds.frame_of(values, ["job"] * 50, at_s), SETTINGS, END_S) == []
