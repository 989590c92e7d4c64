"""After a clock change, what happens at nine by the clock is found at nine by the clock in all of the history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from storage.records import Frame
from tasks.forecast import forecast_batch
from tasks.forecast.local_clock import on_clocks_ahead, on_todays_clock

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = timedelta(hours=1)


def opening(end: datetime, days: int, zone: tzinfo) -> Frame:
    """A load that is there from nine to five by the clock of a zone, in steps that end on the hour."""
    ends = [end - HOUR * back for back in range(24 * days - 1, -1, -1)]
    hours = np.array([(moment - HOUR).astimezone(zone).hour for moment in ends])
    return Frame(
        series=("office",), values=np.where((hours >= 9) & (hours < 17), 1.0, 0.0)[None], end=end, step_s=3_600
    )


@pytest.mark.parametrize("end", [datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 10, 28, tzinfo=UTC)])
def test_the_days_before_a_change_open_when_those_after_it_do(end: datetime) -> None:
    frame = opening(end, 8, BERLIN)
    days = on_todays_clock(frame, BERLIN).values.reshape(8, 24)
    seen = np.isfinite(days)
    assert seen.mean() > 0.98
    assert all((days[day][seen[day]] == days[-1][seen[day]]).all() for day in range(8))
    assert not (frame.values.reshape(8, 24) == frame.values.reshape(8, 24)[-1]).all()


def test_without_a_change_the_frame_is_the_same() -> None:
    frame = opening(datetime(2026, 3, 20, tzinfo=UTC), 8, BERLIN)
    assert on_todays_clock(frame, BERLIN) is frame
    assert on_todays_clock(opening(datetime(2026, 4, 1, tzinfo=UTC), 8, UTC), UTC).values.shape == (1, 192)


def test_steps_that_are_longer_than_the_change_keep_their_history() -> None:
    end = datetime(2026, 4, 1, tzinfo=UTC)
    frame = Frame(series=("office",), values=np.arange(120.0)[None], end=end, step_s=7_200.0)
    assert np.isfinite(on_todays_clock(frame, BERLIN).values).all()


@pytest.mark.parametrize("end", [datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)])
@pytest.mark.parametrize("horizon", [24, 40])
def test_the_day_after_a_change_opens_by_the_clock_that_it_will_have(end: datetime, horizon: int) -> None:
    frame = opening(end, 21, BERLIN)
    truth = opening(end + HOUR * horizon, 21 + 2, BERLIN).values[:, -horizon:]
    todays = on_todays_clock(frame, BERLIN)
    plain = forecast_batch(todays.values, season_lengths=frame.season_lengths, horizon=horizon)
    ahead = on_clocks_ahead(plain, todays, BERLIN)
    assert (np.abs(ahead.point - truth) < 0.1).all()
    assert (np.abs(np.median(ahead.paths, axis=1) - truth) < 0.1).all()
    assert not (np.abs(plain.point - truth) < 0.1).all()
    assert on_clocks_ahead(plain, todays, UTC) is plain


@pytest.mark.parametrize("end", [datetime(2026, 3, 29, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC)])
def test_the_first_evening_after_a_change_foretells_the_next_day_at_the_right_hours(end: datetime) -> None:
    frame = on_todays_clock(opening(end, 21, BERLIN), BERLIN)
    truth = opening(end + HOUR * 24, 22, BERLIN).values[:, -24:]
    ahead = on_clocks_ahead(
        forecast_batch(frame.values, season_lengths=frame.season_lengths, horizon=24), frame, BERLIN
    )
    assert (np.abs(ahead.point - truth) < 0.15).all()
