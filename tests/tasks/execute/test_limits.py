"""Rate limits and maintenance windows mean what they say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import ForeactError
from tasks.execute.limits import exceeded, parse_limit
from tasks.maintenance import open_until, spans_between
from tests.tasks.execute.acts import HOUR, TICK

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("text", ["3/hour", " 3 per hour", "3 an hour ", "3 a hour"])
def test_a_rate_limit_reads_as_people_write_it(text: str) -> None:
    assert parse_limit(text) == (3, HOUR)


@pytest.mark.parametrize("text", ["", "three/hour", "3/fortnight", "-3/hour", "3.5/hour", "3/hours"])
def test_what_is_no_rate_limit_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(ForeactError) as caught:
        parse_limit(text)
    assert caught.value.code == "rate_limit_invalid"
    assert "3/hour" in caught.value.remedy


@given(
    moments=st.lists(st.integers(-200_000, 100).map(lambda s: TICK + timedelta(seconds=s)), max_size=30),
    most=st.integers(0, 10),
    unit=st.sampled_from(["minute", "hour", "day"]),
)
def test_a_limit_of_n_lets_n_acts_into_any_span(moments: list[datetime], most: int, unit: str) -> None:
    limit = f"{most}/{unit}"
    _, span = parse_limit(limit)
    inside = sum(moment > TICK - span for moment in moments)
    assert (exceeded([limit], moments, TICK) is None) == (inside < most)


@dataclass(frozen=True)
class Span:
    """A daily span as the configuration has it."""

    start: str
    end: str
    days: tuple[str, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


def test_a_window_past_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    # 2026-03-02 is a Monday.
    night = [Span("22:00", "02:00", ("mon",))]
    assert open_until(night, at("2026-03-02T23:30")) == at("2026-03-03T02:00")
    assert open_until(night, at("2026-03-03T01:59:59")) == at("2026-03-03T02:00")
    assert open_until(night, at("2026-03-03T02:00")) is None
    assert open_until(night, at("2026-03-02T01:00")) is None
    assert open_until(night, at("2026-03-03T23:30")) is None


def test_of_two_windows_that_are_open_the_longer_counts() -> None:
    both = [Span("22:00", "02:00"), Span("23:00", "23:45")]
    assert open_until(both, at("2026-03-02T23:30")) == at("2026-03-03T02:00")


def test_the_spans_of_a_day_ahead_include_one_that_began_yesterday() -> None:
    night = [Span("22:00", "02:00")]
    since = at("2026-03-03T01:00")
    assert spans_between(night, since, since + 24 * HOUR) == [
        (at("2026-03-02T22:00"), at("2026-03-03T02:00")),
        (at("2026-03-03T22:00"), at("2026-03-04T02:00")),
    ]


clock_times = st.tuples(st.integers(0, 23), st.integers(0, 59)).map(lambda pair: f"{pair[0]:02d}:{pair[1]:02d}")


@given(start=clock_times, end=clock_times, minutes=st.integers(0, 7 * 1_440))
def test_a_daily_window_is_open_exactly_between_its_times(start: str, end: str, minutes: int) -> None:
    moment = at("2026-03-02T00:00") + minutes * MINUTE
    clock = f"{moment:%H:%M}"
    expected = start <= clock < end if start < end else (clock >= start or clock < end)
    assert (open_until([Span(start, end)], moment) is not None) == expected


@pytest.mark.parametrize(
    ("day", "opens", "closes"), [("2026-03-02", "21:00", "05:00"), ("2026-03-28", "21:00", "04:00")]
)
def test_a_window_goes_by_local_clocks_also_in_the_night_in_which_they_are_changed(
    day: str, opens: str, closes: str
) -> None:
    night, berlin = [Span("22:00", "06:00")], ZoneInfo("Europe/Berlin")
    starts = at(f"{day}T{opens}")
    ends = at(f"{day}T{closes}") + 24 * HOUR
    assert open_until(night, starts, berlin) == ends
    assert open_until(night, starts - MINUTE, berlin) is None
    assert open_until(night, ends - MINUTE, berlin) == ends
    assert open_until(night, ends, berlin) is None
