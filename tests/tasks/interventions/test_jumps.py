"""What stands off its usual level as a fault makes it is told from what wanders or follows the day."""

from __future__ import annotations

import numpy as np
import pytest

from storage.records import FloatArray
from tasks.interventions.jumps import jump_in, off_usual

RNG = np.random.default_rng(1)
CALM = 10 + RNG.normal(0, 1, 600)


def stands_out_sd(values: FloatArray, ahead: FloatArray = np.empty(0)) -> float:
    found = off_usual(values, ahead, 288)
    return 0.0 if found is None else found.sd


def after_calm(*more: float) -> FloatArray:
    return np.concatenate([CALM, more])


def test_a_jump_stands_out_also_where_it_was_there_before() -> None:
    twice = np.concatenate([CALM, np.full(12, 60.0), CALM, np.full(5, 60.0)])
    assert jump_in(twice) is not None
    assert stands_out_sd(twice) > 2


def test_what_crept_farther_than_ever_stands_out_without_a_jump() -> None:
    crept = after_calm(*np.linspace(10, 90, 40))
    assert jump_in(crept) is None
    assert stands_out_sd(crept) > 2
    assert stands_out_sd(-crept) < -2


def test_what_crept_as_far_before_does_not() -> None:
    assert (
        stands_out_sd(np.concatenate([after_calm(*np.linspace(10, 90, 40)), after_calm(*np.linspace(10, 90, 40))])) == 0
    )


@pytest.mark.parametrize(
    "values", [CALM, np.full(50, 3.0), np.full(50, np.nan), np.empty(0), 50 + 20 * np.sin(np.arange(864) / 45.8)]
)
def test_what_is_usual_does_not(values: FloatArray) -> None:
    assert stands_out_sd(values) == 0


def test_what_is_on_a_ramp_stands_out_by_where_it_leads() -> None:
    twice = np.concatenate([after_calm(*(10 + 5 * np.arange(1, 20))), CALM, 10 + 5.0 * np.arange(1, 14)])
    assert stands_out_sd(twice) == 0
    assert stands_out_sd(twice, 75 + 5.0 * np.arange(24)) > stands_out_sd(twice, np.full(24, 75.0)) > 2
    assert stands_out_sd(twice, np.full(24, 10.0)) == 0


def test_what_falls_back_fast_is_left_to_do_so() -> None:
    back = after_calm(*(10 + 5 * np.arange(1, 30)), *(155 - 5 * np.arange(1, 22)))
    assert stands_out_sd(back, np.full(24, 10.0)) == 0
