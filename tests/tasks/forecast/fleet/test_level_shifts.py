"""A lasting shift of level: the old one against the new one, weighed by how long the new one has stood."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.forecast.batch import LEVELS, Floats
from tasks.forecast.fleet.forecast import forecast_batch
from tasks.forecast.fleet.level_shifts import (
    Shift,
    find_shifts,
    mixed_quantiles,
    share_of_new_level,
    shares_ahead,
)
from tasks.forecast.verification.scores import mase, seasonal_scale
from tests.tasks.forecast.fleets import daily_fleet

DAY, SEASONS = 24, (24, 168)
FINE, FINE_SEASONS = 288, (288, 2016)


def moved(hours: float, *, spread: float, size: float = 30.0, count: int = 4, seed: int = 0) -> Floats:
    """Series of a week at five minutes around 20, that went up so many hours before their end."""
    noise = np.random.default_rng(seed).normal(0, spread, (count, 7 * FINE))
    return np.asarray(20 + noise + size * (np.arange(7 * FINE) >= 7 * FINE - 12 * hours))


def test_a_shift_is_found_where_it_was_and_counts_the_more_the_longer_it_stands() -> None:
    found = [find_shifts(moved(hours, spread=2.0), FINE) for hours in (1, 3, 6, 24)]
    assert [[shift.step for shift in shifts] for shifts in found] == [[7 * FINE - 12 * h] * 4 for h in (1, 3, 6, 24)]
    assert all(shift.size == pytest.approx(30, abs=2.5) for shifts in found for shift in shifts)
    shares = [shifts[0].share for shifts in found]
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert shares[1] == pytest.approx(0.5)
    assert shares[-1] == 1


def test_a_level_that_rests_counts_sooner_than_one_that_is_noisy() -> None:
    assert find_shifts(moved(1, spread=0.0), FINE)[0].share > 5 * find_shifts(moved(1, spread=1.0), FINE)[0].share


def test_six_hours_after_a_shift_the_forecast_is_at_the_new_level_and_covers_it() -> None:
    values = moved(6, spread=5.0, count=12)
    truth = 50 + np.random.default_rng(9).normal(0, 5.0, (12, FINE))
    forecast = forecast_batch(values, season_lengths=FINE_SEASONS, horizon=FINE)
    rule = np.abs(values[:, -36:].mean(axis=1, keepdims=True) - truth).mean()
    assert np.abs(forecast.point - truth).mean() < 1.3 * rule
    assert ((forecast.quantiles[:, :, 0] <= truth) & (truth <= forecast.quantiles[:, :, -1])).mean() > 0.85
    assert all("its level moved 6 hours ago" in notes[-1] for notes in forecast.warnings)


def test_while_it_is_open_the_interval_covers_both_levels() -> None:
    forecast = forecast_batch(moved(2, spread=0.5), season_lengths=FINE_SEASONS, horizon=36)
    assert (forecast.quantiles[:, -1, 0] < 25).all()
    assert (forecast.quantiles[:, -1, -1] > 48).all()
    share_high = (forecast.paths[:, :, -1] > 35).mean(axis=1)
    assert ((share_high > 0.1) & (share_high < 0.9)).all()


def test_what_went_as_far_before_for_longer_and_came_back_is_no_lasting_shift() -> None:
    values = moved(6, spread=2.0)
    values[:, 3 * FINE : 3 * FINE + 84] += 30
    assert not find_shifts(values, FINE)


def faulty(steps_ago: int, seed: int = 0) -> Floats:
    """A week around 0.5 with an hour's fault every ten hours, and one that has not ended."""
    rng = np.random.default_rng(seed)
    values = 0.5 * rng.lognormal(0, 0.15, (1, 7 * FINE))
    for start in range(60, 7 * FINE - 130, 120):
        values[0, start : start + 12] = 6 * rng.lognormal(0, 0.12, 12)
    values[0, 7 * FINE - steps_ago :] = 6 * rng.lognormal(0, 0.12, steps_ago)
    return np.asarray(values)


def test_a_fault_that_outlasts_all_before_it_is_forecast_to_stay() -> None:
    short, long = (forecast_batch(faulty(n), season_lengths=FINE_SEASONS, horizon=24) for n in (3, 60))
    assert short.point[0, -1] < 1
    assert (long.point[0] > 5).all()
    assert np.mean(long.paths[0, :, :12] > 3) > 0.9


def test_what_lay_on_the_level_before_stays_there_when_the_rest_is_moved() -> None:
    values = faulty(60)
    (shift,) = find_shifts(values, FINE)
    moved_on = shift.aligned(values[0])
    assert shift.was_there
    assert np.median(moved_on) == pytest.approx(6, abs=0.5)
    assert moved_on.max() < 10


@pytest.mark.parametrize("seed", range(3))
def test_days_that_move_farther_than_a_level_that_wandered_have_no_two_levels_to_jump_between(seed: int) -> None:
    hours = np.arange(28 * DAY + 16)
    days = 500 + 150 * np.sin(2 * np.pi * hours / DAY) + np.random.default_rng(seed).normal(0, 1, len(hours))
    days[14 * DAY : 15 * DAY] += 40  # as far as the level wandered since, from a morning rise on
    days[-64:] += 45 * np.minimum(np.arange(64) / 6, 1)
    assert not find_shifts(days[None], DAY)


def test_a_jump_that_is_gone_again_a_random_walk_and_a_morning_rise_are_no_shifts() -> None:
    rng = np.random.default_rng(4)
    gone = moved(8, spread=2.0) - moved(4, spread=0.0) + 20
    walks = np.cumsum(rng.normal(size=(50, 7 * FINE)), axis=1)
    days = (
        100
        + 30 * np.sin(2 * np.pi * np.arange(7 * FINE) / FINE + rng.random((50, 1)))
        + rng.normal(0, 3, (50, 7 * FINE))
    )
    assert not find_shifts(gone, FINE)
    assert not find_shifts(days, FINE)
    assert len(find_shifts(walks, FINE)) <= 2


def test_a_load_that_doubled_is_moved_by_its_factor() -> None:
    t = np.arange(7 * FINE)
    load = (100 + 40 * np.sin(2 * np.pi * t / FINE)) * np.where(t >= 7 * FINE - 120, 2.0, 1.0)
    (shift,) = find_shifts(load[None], FINE)
    np.testing.assert_allclose(shift.aligned(load)[: 6 * FINE], 2 * load[: 6 * FINE], rtol=0.02)


def test_one_spike_in_a_constant_is_forgotten_after_an_hour() -> None:
    values = np.full((6, 7 * FINE), 7.0)
    values[:, -18] = 40
    forecast = forecast_batch(values, season_lengths=FINE_SEASONS, horizon=FINE)
    np.testing.assert_allclose(forecast.point, 7.0, atol=1e-3)
    assert (np.abs(forecast.quantiles[:, :, [0, -1]] - 7.0) < 1e-3).mean() > 0.99
    assert (forecast.paths.max(axis=2) > 8).mean() < 0.4  # it may come again, but not every day


def test_a_known_change_needs_no_proof_and_the_forecast_gains_by_it() -> None:
    fleet = daily_fleet(30, 21, 8)
    since = fleet.shape[1] - DAY - 3
    fleet[:, since:] += 6 * seasonal_scale(fleet, DAY)[:, None]
    past, truth = fleet[:, :-DAY], fleet[:, -DAY:]
    scale = seasonal_scale(fleet[:, :since], DAY)
    plain = forecast_batch(past, season_lengths=SEASONS, horizon=DAY)
    told = forecast_batch(past, season_lengths=SEASONS, horizon=DAY, changed_at=np.full(len(fleet), since))
    assert mase(truth, told.point, scale).mean() < 0.7 * mase(truth, plain.point, scale).mean()


def test_a_known_change_of_the_first_day_or_in_the_future_moves_nothing() -> None:
    fleet = daily_fleet(3, 5)
    assert not find_shifts(fleet, DAY, np.array([-1, fleet.shape[1], 3]))


def test_without_a_day_no_shift_is_found_and_without_days_before_none_that_overlaps() -> None:
    assert not find_shifts(moved(6, spread=1.0), 1)
    assert not find_shifts(moved(6, spread=10.0)[:, -2 * FINE :], FINE)


def test_history_never_below_zero_is_not_moved_below_it() -> None:
    values = np.r_[np.arange(50.0), np.full(10, 3.0)]
    assert Shift(0, 50, -40.0, 1.0, 1.0).aligned(values).min() == 0


def test_gaps_and_wild_values_are_looked_past() -> None:
    values = moved(6, spread=2.0)
    values[0, ::7], values[1, 1000:1100], values[2, 77] = np.nan, np.nan, 1e200
    assert [shift.row for shift in find_shifts(values, FINE)] == [0, 1, 2, 3]


@given(st.integers(1, 4000), st.integers(1, 4000))
def test_the_share_of_the_new_level_never_falls_with_its_age(first: int, second: int) -> None:
    young, old = sorted((first, second))
    assert share_of_new_level(young, FINE, 3.0) <= share_of_new_level(old, FINE, 3.0)


@given(st.integers(1, 100), st.floats(0, 1))
def test_the_new_level_counts_most_for_the_next_step_and_never_less_than_its_share(age: int, share: float) -> None:
    ahead = shares_ahead(Shift(0, 200 - age, 1.0, 1.0, share), 200, 50)
    assert (np.diff(ahead) <= 1e-12).all()
    assert ahead.max() <= 1
    assert (ahead >= share - 1e-12).all()


@given(st.lists(st.floats(-1e6, 1e6), min_size=2 * len(LEVELS), max_size=2 * len(LEVELS)), st.floats(0, 1))
def test_a_mixture_lies_between_its_parts(values: list[float], share: float) -> None:
    both = np.sort(np.array(values).reshape(1, 2, -1), axis=2)
    mixed = mixed_quantiles(both.reshape(1, -1), LEVELS, np.array([share]), LEVELS)[0]
    assert (np.diff(mixed) >= -1e-6).all()
    assert (mixed >= both.min(axis=1)[0] - 1e-6).all()
    assert (mixed <= both.max(axis=1)[0] + 1e-6).all()


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_mixture_of_one_part_is_that_part(share: float) -> None:
    both = np.concatenate([np.linspace(0, 1, len(LEVELS)), np.linspace(5, 9, len(LEVELS))])[None]
    part = both[:, len(LEVELS) :] if share else both[:, : len(LEVELS)]
    np.testing.assert_allclose(mixed_quantiles(both, LEVELS, np.array([share]), LEVELS), part, atol=1e-6)


MINUTES_A_DAY = 1_440


def stepped(steps: int, since: int, seed: int = 0) -> Floats:
    """A young series around 120 that has stood at 280 for the last `since` of its steps."""
    rng = np.random.default_rng(seed)
    values = 120 + rng.normal(0, 3, steps)
    values[steps - since :] += 160
    return np.asarray(values)


@pytest.mark.parametrize(("steps", "since"), [(60, 10), (60, 30), (120, 40), (600, 10), (1_440, 10), (2_000, 600)])
def test_a_step_of_a_young_series_is_gone_on_from_and_no_way_that_goes_on(steps: int, since: int) -> None:
    batch = forecast_batch(stepped(steps, since)[None], season_lengths=(MINUTES_A_DAY,), horizon=60)
    assert batch.point[0, 0] == pytest.approx(280, abs=5)
    assert (batch.point[0] < 290).all()
    inside = (batch.quantiles[0, :5, 0] <= 280) & (batch.quantiles[0, :5, -1] >= 280)
    assert inside.all()


def test_the_new_level_of_a_young_series_counts_as_much_as_it_is_of_what_was_seen() -> None:
    (shift,) = find_shifts(stepped(60, 30)[None], MINUTES_A_DAY)
    assert (shift.step, shift.share) == (30, 0.5)
    assert shift.size == pytest.approx(160, abs=3)
    assert "counts the new level 50%" in shift.told(60, MINUTES_A_DAY)


@pytest.mark.parametrize("since", [1, 2])
def test_two_wild_values_of_a_young_series_are_no_shift(since: int) -> None:
    assert find_shifts(stepped(60, since)[None], MINUTES_A_DAY) == []


@pytest.mark.parametrize(
    "values",
    [
        np.arange(60.0),  # a ramp
        120 + np.random.default_rng(1).normal(0, 3, 60),
        np.full(60, 3.0),
        np.tile([0.0, 0.0, 50.0], 20),
        np.concatenate([np.full(40, 3.0), np.full(20, np.nan)]),
    ],
)
def test_what_overlaps_rises_or_rests_has_not_shifted(values: Floats) -> None:
    assert find_shifts(values[None], MINUTES_A_DAY) == []
