"""When the window of an act is over, whoever asks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.records import Estimand, HeldAmount
from tasks.interventions.act_window import MeasuringWindow, watched_between, window_of
from tasks.interventions.overlaps import followed_at
from tests.tasks.execute.acts import HOUR, MINUTE, SECOND, TICK, done, receipt_of, waiting

HELD = HeldAmount(objective="load", capacity="workers", amount=2, begins_after_s=180)


def estimand_of(**changes: Any) -> Estimand:
    fields: dict[str, Any] = {
        "action_id": "earlier",
        "series": "load",
        "better": "lower",
        "fixed_at": TICK,
        "forecast_cycle_id": "cycle-1",
        "issued_at": TICK - 20 * SECOND,
        "step_s": 60,
        "horizon_steps": 10,
        "window_steps": 10,
    }
    return Estimand(**fields | changes)


def window(estimand: Estimand | None = None, undone_after: timedelta | None = None, **changes: Any) -> MeasuringWindow:
    undone_at = None if undone_after is None else TICK + undone_after
    found = window_of(done(TICK, **changes), estimand, undone_at)
    assert found is not None
    return found


def test_an_act_on_a_metric_counts_for_its_horizon_and_to_the_end_of_the_last_step() -> None:
    assert window().ends_at == TICK + 10 * MINUTE
    on_grid = window(estimand_of())
    assert (on_grid.until, on_grid.last_step_at) == (TICK + 10 * MINUTE, TICK + 10 * MINUTE + 40 * SECOND)
    assert on_grid.ends_at == on_grid.last_step_at


def test_an_amount_counts_from_when_it_works() -> None:
    counted = window(estimand_of(held=HELD), series=None)
    assert (counted.begins_at, counted.ends_at, counted.steps) == (TICK + 3 * MINUTE, TICK + 13 * MINUTE, 10)


def test_what_aims_at_nothing_or_was_not_done_has_no_window() -> None:
    assert window_of(done(TICK, series=None), None, None) is None
    assert window_of(done(TICK, series=None), estimand_of(), None) is None
    assert window_of(waiting(), estimand_of(), None) is None


@pytest.mark.parametrize("changes", [{}, {"held": HELD}])
def test_an_undo_ends_the_window_but_makes_it_neither_longer_nor_end_before_it_begins(changes: dict[str, Any]) -> None:
    estimand = estimand_of(**changes)
    whole = window(estimand)
    assert window(estimand, 7 * MINUTE).until == TICK + 7 * MINUTE
    assert window(estimand, HOUR) == whole
    assert window(estimand, -HOUR).until == whole.begins_at


def test_a_late_value_is_waited_for_as_long_as_the_window_was_an_hour_at_most() -> None:
    assert window().waits_until == window().ends_at, "nothing says which value to wait for"
    short, long = window(estimand_of()), window(estimand_of(), horizon_s=7_200)
    assert short.waits_until - short.ends_at == 10 * MINUTE
    assert long.waits_until - long.ends_at == HOUR
    coarse = window(estimand_of(step_s=600, horizon_steps=1, window_steps=1))
    assert coarse.waits_until - coarse.ends_at == 20 * MINUTE


@given(horizon_s=st.floats(1, 1e5), step_s=st.floats(1, 3_600), late_s=st.floats(0, 1e4), undone_s=st.floats(-1e4, 1e5))
def test_what_is_written_down_never_makes_a_window_end_before_its_horizon(
    horizon_s: float, step_s: float, late_s: float, undone_s: float
) -> None:
    """So that whoever asks may look at the horizon first, and only then at what was written down."""
    undone = timedelta(seconds=undone_s)
    for held in (None, HELD):
        estimand = estimand_of(held=held, step_s=step_s, issued_at=TICK - timedelta(seconds=late_s))
        for after in (None, undone):
            bare = window(None, after, horizon_s=horizon_s)
            fixed = window(estimand, after, horizon_s=horizon_s)
            assert fixed.ends_at >= bare.ends_at
            assert fixed.begins_at <= fixed.until <= fixed.ends_at <= fixed.waits_until
            assert fixed.steps >= 1


@pytest.mark.parametrize(("steps_s", "minutes"), [((), (0, 5)), ((12,), (1, 5)), ((60,), (5, 7)), ((12, 60), (1, 7))])
def test_an_act_is_watched_from_when_harm_can_be_told_for_the_stabilisation_time_and_for_some_steps_of_each_metric(
    steps_s: tuple[float, ...], minutes: tuple[int, int]
) -> None:
    begins_at, over_at = watched_between(receipt_of("a", TICK), 300, steps_s)
    assert (begins_at, over_at) == (TICK + minutes[0] * MINUTE, TICK + minutes[1] * MINUTE)


MEASURED_FOR_AN_HOUR = {"series": "load", "horizon_s": 3_600.0, "least_horizon_s": 600.0}


def followed(after: timedelta, **changes: Any) -> dict[str, datetime]:
    first = done(TICK, **{"action_id": "first"} | MEASURED_FOR_AN_HOUR | changes)
    return followed_at([first, done(TICK + after, **{"action_id": "second"} | MEASURED_FOR_AN_HOUR)])


def test_the_next_act_on_the_metric_ends_the_window_of_one_of_which_nobody_says_how_long_it_works() -> None:
    assert set(followed(20 * MINUTE)) == {"first"}
    assert followed(20 * MINUTE)["first"] >= TICK + 19 * MINUTE


@pytest.mark.parametrize(
    "changes", [{"least_horizon_s": None}, {"series": "queue"}, {"least_horizon_s": 1_800.0}, {"series": None}]
)
def test_one_that_lasts_as_said_was_seen_too_short_or_is_for_another_metric_is_not_cut(changes: dict[str, Any]) -> None:
    assert not followed(20 * MINUTE, **changes)


@pytest.mark.parametrize("changes", [{"dry_run": True}, {"name": "nothing"}])
def test_what_changes_nothing_cuts_nothing(changes: dict[str, Any]) -> None:
    idle = done(TICK + 20 * MINUTE, **{"action_id": "second"} | MEASURED_FOR_AN_HOUR | changes)
    assert not followed_at([done(TICK, **{"action_id": "first"} | MEASURED_FOR_AN_HOUR), idle])
