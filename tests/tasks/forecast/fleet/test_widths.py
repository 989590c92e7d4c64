"""Widths follow what was missed on horizons held back, either way, and only where all of them agree."""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Floats
from tasks.forecast.fleet.fit import fit_fleet
from tasks.forecast.fleet.tuning import agreed_factor
from tasks.forecast.fleet.untaught import smoothed_ratios

DAY, SEASONS = 24, (24, 168)


def fleet(noise: Floats) -> Floats:
    """Daily series whose noise (t,) may change over time."""
    rng = np.random.default_rng(0)
    t = np.arange(len(noise))
    wave = np.sin(2 * np.pi * (t / DAY + rng.random((40, 1))))
    return np.asarray(10 + wave + noise * rng.normal(size=(40, len(t))))


def test_a_fleet_that_has_become_quiet_gets_narrower_intervals_and_one_that_became_loud_wider_ones() -> None:
    quiet, loud = np.full(480, 0.3), np.full(480, 0.3)
    quiet[-144:], loud[-144:] = 0.15, 0.6
    widths = [fit_fleet(fleet(noise), season_lengths=SEASONS, horizon=24).tuning.width for noise in (quiet, loud)]
    assert widths[0] < 0.95
    assert widths[1] > 1.1


def test_horizons_held_back_that_disagree_change_no_width() -> None:
    assert agreed_factor(np.log([0.8, 1.3, 1.1]), 1.0) == 1
    assert np.isclose(agreed_factor(np.log([1.2, 1.3, 1.1]), 1.0), 1.1)
    assert np.isclose(agreed_factor(np.log([0.7, 0.9, 0.8]), 1.0), 0.9)


def test_small_errors_soon_after_do_not_narrow_what_lies_far_beyond_them() -> None:
    narrow, wide = smoothed_ratios([0.5, 0.5, 0.5], 8), smoothed_ratios([2.0, 2.0, 2.0], 8)
    assert narrow[-1] > 0.95
    assert (np.diff(narrow[2:]) > 0).all()
    assert np.allclose(wide, 2)
