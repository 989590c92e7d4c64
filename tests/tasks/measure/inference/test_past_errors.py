"""The ledger knows at each origin only what was known then."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import ForeactError
from tasks.measure import ErrorLedger, build_ledger
from tasks.measure.inference.past_errors import running_scale

RNG = np.random.default_rng(0)
HISTORY = RNG.normal(size=200)
ORIGINS = np.arange(20, 190, 5)
FORECASTS = np.zeros((len(ORIGINS), 8))


def test_errors_are_observed_minus_forecast_at_the_steps_after_the_origin() -> None:
    ledger = build_ledger(HISTORY, FORECASTS + 1, ORIGINS, steps_per_day=24)
    assert ledger.errors[0] == pytest.approx(HISTORY[21:29] - 1)


def test_what_comes_after_now_is_not_read() -> None:
    changed = HISTORY.copy()
    changed[101:] += 1_000
    before, after = (
        build_ledger(values, FORECASTS, ORIGINS, steps_per_day=24, now=100) for values in (HISTORY, changed)
    )
    np.testing.assert_array_equal(before.errors, after.errors)
    np.testing.assert_array_equal(before.scale, after.scale)
    assert before.current_scale == after.current_scale


@settings(max_examples=25, deadline=None)
@given(place=st.integers(0, 199))
def test_a_value_changes_no_scale_of_an_origin_before_it(place: int) -> None:
    changed = HISTORY.copy()
    changed[place] += 1_000
    plain = build_ledger(HISTORY, FORECASTS, ORIGINS, steps_per_day=24)
    other = build_ledger(changed, FORECASTS, ORIGINS, steps_per_day=24)
    earlier = place > ORIGINS
    np.testing.assert_array_equal(plain.scale[earlier], other.scale[earlier])


def test_windows_that_an_action_touched_are_left_out() -> None:
    acted = np.zeros(200, dtype=bool)
    acted[60:70] = True
    ledger = build_ledger(HISTORY, FORECASTS, ORIGINS, steps_per_day=24, acted=acted)
    assert ledger.origins is not None
    assert not set(ledger.origins) & set(range(52, 69))
    assert ledger.n_past == 200 - 21 - 10


def test_missing_values_do_not_count_as_past() -> None:
    holed = HISTORY.copy()
    holed[100:150] = np.nan
    assert build_ledger(holed, FORECASTS, ORIGINS, steps_per_day=24).n_past == 200 - 21 - 50


def test_the_scale_forgets_by_half_in_a_day() -> None:
    origins = np.arange(1_000)
    errors = np.where(origins < 976, 1.0, 3.0)
    _, now = running_scale(origins, errors, 24, 1_000)
    assert now == pytest.approx(2.0, abs=0.01)


def test_a_scale_needs_eight_errors() -> None:
    scales, _ = running_scale(np.arange(12), np.ones(12), 24, 12)
    assert np.isnan(scales[:8]).all()
    assert np.isfinite(scales[8:]).all()


def test_the_window_is_short_enough_for_twenty_past_windows() -> None:
    ledger = build_ledger(HISTORY, FORECASTS, ORIGINS, steps_per_day=24)
    assert ledger.window_steps(60) == ledger.n_past // 20
    assert ErrorLedger(np.zeros((3, 60)), np.ones(3), 1.0, 20).window_steps(60) == 5
    assert ErrorLedger(np.zeros((3, 60)), np.ones(3), 1.0, 10_000).window_steps(40) == 40


def test_no_forecast_yet_gives_an_empty_ledger() -> None:
    ledger = build_ledger(HISTORY, FORECASTS, ORIGINS, steps_per_day=24, now=10)
    assert ledger.n_past == 0
    assert len(ledger.errors) == 0


@pytest.mark.parametrize(
    ("origins", "forecasts"),
    [(ORIGINS[::-1], FORECASTS), (ORIGINS, FORECASTS[1:]), (ORIGINS - 30, FORECASTS)],
)
def test_origins_that_do_not_fit_are_refused(origins: np.ndarray, forecasts: np.ndarray) -> None:
    with pytest.raises(ForeactError) as refused:
        build_ledger(HISTORY, forecasts, origins, steps_per_day=24)
    assert refused.value.code == "ledger_shape"


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ForeactError):
        ErrorLedger(np.zeros((3, 5)), np.zeros(2), 1.0, 10)
    with pytest.raises(ForeactError):
        ErrorLedger(np.zeros((3, 5)), np.zeros(3), 1.0, 10, same_trigger=np.zeros(2, dtype=bool))
