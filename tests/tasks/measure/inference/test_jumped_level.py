"""What is not known after a jump widens an effect's interval, and only that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.records import FloatArray
from tasks.measure.inference.jumped_level import unsettled_error

STEPS = 12


def jumped(age_steps: int, *, size: float = 5.5, seed: int = 0) -> FloatArray:
    """A metric around 0.5 that went up by `size` so many steps ago."""
    calm = 0.5 + np.random.default_rng(seed).normal(0, 0.1, 900)
    calm[len(calm) - age_steps :] += size
    return calm


def test_a_young_jump_leaves_both_levels_open_and_an_old_one_hardly() -> None:
    errors = [unsettled_error(jumped(age), np.full(STEPS, 6.0)) for age in (4, 12, 60)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1.5
    assert errors[-1] < 1.5


def test_a_forecast_between_the_levels_is_off_by_half_the_jump_either_way() -> None:
    assert unsettled_error(jumped(36), np.full(STEPS, 3.25)) == pytest.approx(5.5 / 2, rel=0.05)


def test_a_jump_down_counts_as_one_up_does() -> None:
    up, down = jumped(6), 1.0 - jumped(6)
    assert unsettled_error(down, np.full(STEPS, -5.0)) == pytest.approx(unsettled_error(up, np.full(STEPS, 6.0)))


@pytest.mark.parametrize(
    "history",
    [
        np.random.default_rng(1).normal(10, 1, 900),
        np.cumsum(np.random.default_rng(2).normal(0, 1, 900)),
        100 + 30 * np.sin(np.arange(900) / 288 * 2 * np.pi),
        np.full(900, 3.0),
        np.full(900, np.nan),
        np.array([1.0, 2.0]),
        np.concatenate([np.full(900, 1.0), [9.0, 9.0, 1.0]]),
    ],
    ids=["noise", "random walk", "day", "constant", "nothing seen", "two values", "gone again"],
)
def test_without_a_jump_nothing_is_added(history: FloatArray) -> None:
    assert unsettled_error(history, np.full(STEPS, 12.0)) == 0


@given(age=st.integers(1, 200), size=st.floats(1, 1e6), level=st.floats(-1e6, 1e6), steps=st.integers(1, 100))
def test_its_interval_holds_the_whole_jump_and_little_more(age: int, size: float, level: float, steps: int) -> None:
    error = unsettled_error(jumped(age, size=size), np.full(steps, level))
    assert 0 <= error <= max(0.5, 1.25 / 1.645) * (size + 1)


def test_a_young_jump_that_is_foretold_to_end_may_well_stay() -> None:
    foretold = 1.0
    reach = 1.645 * unsettled_error(jumped(3), np.full(STEPS, foretold))
    assert foretold + reach > 6.0, "the level that it jumped to"


def moving(rate: float, steps: int = 8) -> FloatArray:
    """A metric around 10 that has moved by `rate` a step since a while."""
    calm = 10 + np.random.default_rng(3).normal(0, 1, 900)
    return np.concatenate([calm, 10 + rate * np.arange(1, steps + 1)])


def test_a_fast_move_may_stop_or_go_on() -> None:
    follows = 90 + 10.0 * np.arange(1, STEPS + 1)
    stays = np.full(STEPS, 90.0)
    half = 10 * (STEPS + 1) / 2 / 2**0.5
    for foretold in (follows, stays):
        assert unsettled_error(moving(10), foretold) == pytest.approx(half, rel=0.05)


def test_a_forecast_that_knows_nothing_of_a_fast_move_is_off_by_all_it_moved() -> None:
    assert unsettled_error(moving(10), np.full(STEPS, 10.0)) > 80
    assert unsettled_error(moving(-10), np.full(STEPS, 10.0)) > 80
