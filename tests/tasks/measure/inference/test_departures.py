"""A move that was under way before an act is not the act's."""

from __future__ import annotations

import numpy as np
import pytest

from storage.records import FloatArray, IntArray, Verdict
from tasks.measure.inference.departures import is_further_than_ever
from tasks.measure.inference.many_metrics import HAD_MOVED, measure_many
from tests.tasks.measure.inference.test_many_metrics import _window

STEPS, DAY = 1_152, 288


def season(seed: int = 0, moved_steps: int = 0, size: float = 80.0) -> FloatArray:
    """Four days around 120 with a wave of the day and noise of sd 10; the last steps may lie on a new level."""
    hours = np.arange(STEPS) / 12
    values = 120 + 30 * np.sin(2 * np.pi * hours / 24) + np.random.default_rng(seed).normal(0, 10, STEPS)
    values[STEPS - moved_steps :] += size
    return np.asarray(values)


def forecasts(count: int = 40) -> tuple[IntArray, FloatArray, float]:
    """Return who knows the wave and believes in no new level: steps of issue, means of the hour after, and now's."""
    issued = np.linspace(DAY, STEPS - 20, count).astype(np.intp)
    wave = [120 + 30 * np.sin(2 * np.pi * (step + 6) / 12 / 24) for step in (*issued.tolist(), STEPS)]
    return issued, np.array(wave[:-1]), float(wave[-1])


@pytest.mark.parametrize(
    ("moved_steps", "size", "expected"),
    [(0, 0.0, False), (8, 80.0, True), (1, 80.0, True), (8, -80.0, True), (8, 4.0, False)],
)
def test_a_level_is_further_off_its_forecast_than_ever_only_where_it_moved(
    moved_steps: int, size: float, expected: bool
) -> None:
    found = [is_further_than_ever(season(seed, moved_steps, size), *forecasts()) for seed in range(20)]
    assert np.mean(found) == pytest.approx(float(expected), abs=0.05)


def test_a_move_such_as_was_seen_before_is_vouched_for() -> None:
    values = season(moved_steps=8)
    issued, foretold, now = forecasts()
    values[issued[10] - 8 : issued[10] + 1] += 80
    assert not is_further_than_ever(values, issued, foretold, now)


def test_few_past_forecasts_vouch_for_nothing_and_condemn_nothing() -> None:
    issued, foretold, now = forecasts(9)
    assert not is_further_than_ever(season(moved_steps=8), issued, foretold, now)


def test_what_is_missing_is_no_move() -> None:
    issued, foretold, now = forecasts()
    foretold[:5] = np.nan
    values = season()
    values[:200] = np.nan
    assert not is_further_than_ever(values, issued, foretold, now)


def test_an_effect_on_what_had_moved_before_is_confounded() -> None:
    found = measure_many([_window(0, "response", 5.0, role="side_effect", had_moved=True), _window(1, "cpu", -2.0)])
    assert (found["response"].verdict, found["response"].reason) == (Verdict.CONFOUNDED, HAD_MOVED)
    assert found["cpu"].verdict is Verdict.IMPROVED
