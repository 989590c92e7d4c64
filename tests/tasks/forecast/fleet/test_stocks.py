"""What fills up is forecast to fill on: who once made room, a person or an act, is not taken for the time of day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.records import FloatArray, Frame
from tasks.forecast.fleet.forecast import forecast_batch
from tasks.forecast.fleet.stocks import emptied_by, without_falls
from tasks.interventions.overlaps import Act

DAY, DAYS = 96, 10
END = datetime(2026, 3, 12, tzinfo=UTC)
STEP_S = 900.0


def filling(falls: list[int], size: float = 0.2, days: int = DAYS) -> FloatArray:
    """A disk that takes a tenth a day, and is emptied by some share at some steps: (1, n)."""
    change = np.random.default_rng(0).uniform(0.5, 1.5, days * DAY) * 0.1 / DAY
    change[falls] -= size
    return np.asarray(0.6 + np.cumsum(change))[None]


BY_HAND = [40, 330, 520, 850]


@given(st.lists(st.integers(1, DAYS * DAY - 2), min_size=1, max_size=3, unique=True))
def test_without_its_falls_a_stock_only_rises_to_the_level_it_has_now(falls: list[int]) -> None:
    values = filling(falls)
    moved = without_falls(values, DAY)
    assert (np.diff(moved[0]) > 0).all()
    assert moved[0, -1] == values[0, -1]
    last = max(falls)
    np.testing.assert_array_equal(moved[0, last:], values[0, last:])


def test_a_stock_emptied_by_hand_is_forecast_to_fill_on() -> None:
    values = filling(BY_HAND)
    ahead = forecast_batch(values, season_lengths=(DAY,), horizon=DAY).point[0]
    assert ahead[-1] - values[0, -1] == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("falls", [list(range(40, DAYS * DAY, DAY)), list(range(40, DAYS * DAY, DAY // 3))])
def test_what_empties_itself_day_by_day_goes_on_to_do_so(falls: list[int]) -> None:
    values = filling(falls, 0.1 * np.diff(falls)[0] / DAY)
    assert without_falls(values, DAY) is values


def oscillating(days: int, full_at: tuple[float, float], seed: int, step: float = 0.013) -> FloatArray:
    """Stocks (20, n) that fill at an uneven pace and empty themselves at levels between two: no clock in it."""
    rng = np.random.default_rng(seed)
    values = np.empty((20, days * DAY))
    for row in values:
        level, full = rng.uniform(0, 1), rng.uniform(*full_at)
        for at in range(len(row)):
            level += step * rng.gamma(2.0, 0.5)
            if level > full:
                level, full = 0.05, rng.uniform(*full_at)
            row[at] = level
    return values


@pytest.mark.parametrize("full_at", [(0.95, 1.05), (0.3, 1.7)])
def test_what_empties_itself_when_full_or_at_any_time_does_so_in_the_forecast(full_at: tuple[float, float]) -> None:
    values = oscillating(DAYS + 1, full_at, 3)
    past, truth = values[:, :-DAY], values[:, -DAY:]
    forecast = forecast_batch(past, season_lengths=(DAY,), horizon=DAY)
    assert forecast.point.max() < 2.5
    assert ((forecast.quantiles[:, :, 0] <= truth) & (truth <= forecast.quantiles[:, :, -1])).mean() > 0.75
    rises_on = np.abs(past[:, -1:] + 0.013 * np.arange(1, DAY + 1) - truth).mean()
    assert np.abs(forecast.point - truth).mean() < 0.8 * rises_on
    assert any("emptied" in note for notes in forecast.warnings for note in notes)


def test_stocks_that_are_alike_do_not_fall_at_the_same_time() -> None:
    forecast = forecast_batch(oscillating(DAYS, (0.3, 1.7), 5), season_lengths=(DAY,), horizon=DAY)
    falls = np.diff(forecast.paths, axis=2).min(axis=2) < -0.1
    together = np.corrcoef(falls.astype(float))
    assert np.nanmean(together[~np.eye(len(together), dtype=bool)]) < 0.5


def test_what_moves_up_and_down_is_no_stock() -> None:
    load = np.sin(2 * np.pi * np.arange(DAYS * DAY) / DAY)[None] + np.random.default_rng(1).normal(0, 0.1, DAYS * DAY)
    load[0, 400:] -= 5
    assert without_falls(load, DAY) is load


def test_gaps_stay_gaps_and_a_fall_inside_one_is_taken_out() -> None:
    values = filling(BY_HAND)
    values[0, 515:525] = np.nan
    moved = without_falls(values, DAY)
    np.testing.assert_array_equal(np.isnan(moved), np.isnan(values))
    assert (np.diff(moved[np.isfinite(moved)]) > 0).all()


def test_an_act_that_empties_a_stock_every_day_is_taken_out_where_the_same_falls_unasked_are_not() -> None:
    falls = list(range(40, DAYS * DAY, DAY))
    values = filling(falls, 0.1)
    frame = Frame(series=("disk",), values=values, end=END, step_s=STEP_S, seasons_s=(86_400.0,))
    begins = [END - timedelta(seconds=STEP_S * (DAYS * DAY - fall)) for fall in falls]
    acts = [Act(str(at), "prune", "disk", at - timedelta(hours=1), at + timedelta(hours=1)) for at in begins]
    assert (np.diff(emptied_by(frame, acts).values[0]) > 0).all()
    assert emptied_by(frame, []) is frame
