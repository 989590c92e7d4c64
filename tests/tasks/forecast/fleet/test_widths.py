"""Widths follow what was missed on horizons held back, either way, and only where all of them agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tasks.forecast.batch import Floats
from tasks.forecast.fleet.forecast import fit_fleet, forecast_chunk
from tasks.forecast.fleet.untaught import smoothed_ratios
from tasks.forecast.fleet.widths import agreed_width

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
    assert agreed_width(np.log([0.8, 1.3, 1.1]), 1.0) == 1
    assert np.isclose(agreed_width(np.log([1.2, 1.3, 1.1]), 1.0), 1.1)
    assert np.isclose(agreed_width(np.log([0.7, 0.9, 0.8]), 1.0), 0.9)


def test_a_young_fleet_that_became_loud_gets_wider_intervals_and_one_that_has_become_quiet_no_narrower_ones() -> None:
    steady, quiet, loud = (np.full(72, 0.3) for _ in range(3))
    quiet[-36:], loud[-36:] = 0.15, 0.6
    widths = [
        fit_fleet(fleet(noise), season_lengths=SEASONS, horizon=12).tuning.width for noise in (quiet, steady, loud)
    ]
    assert widths[0] == widths[1]
    assert widths[2] > 1.05 * widths[1]


def test_what_rests_on_what_was_foretold_tells_nothing_of_widths() -> None:
    resting = np.full((40, 72), 3.0)
    resting[:, 5] = 5.0
    assert fit_fleet(resting, season_lengths=SEASONS, horizon=12).tuning.width == 1


def test_a_series_of_one_to_four_days_is_as_wide_as_its_fleet_has_to_be() -> None:
    """The same history by two fleets that differ in what they missed: medians stay, intervals do not."""
    values = fleet(np.full(72, 0.3))
    state = fit_fleet(values, season_lengths=SEASONS, horizon=12)
    wider = replace(state, tuning=replace(state.tuning, width=1.25 * state.tuning.width))
    plain, wide = forecast_chunk(values, state), forecast_chunk(values, wider)
    first, second = (each.quantiles[:, :, -1] - each.quantiles[:, :, 0] for each in (plain, wide))
    np.testing.assert_allclose(second, 1.25 * first, rtol=1e-3)
    np.testing.assert_allclose(wide.point, plain.point, rtol=1e-5)


def test_small_errors_soon_after_do_not_narrow_what_lies_far_beyond_them() -> None:
    narrow, wide = smoothed_ratios([0.5, 0.5, 0.5], 8), smoothed_ratios([2.0, 2.0, 2.0], 8)
    assert narrow[-1] > 0.95
    assert (np.diff(narrow[2:]) > 0).all()
    assert np.allclose(wide, 2)
