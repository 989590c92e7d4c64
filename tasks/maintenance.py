"""Maintenance windows: daily spans on some days of the week, by local clocks, which may reach past midnight."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Protocol

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class DailySpan(Protocol):
    """A span of the day; `start` and `end` as HH:MM."""

    @property
    def start(self) -> str: ...
    @property
    def end(self) -> str: ...
    @property
    def days(self) -> tuple[str, ...]: ...


def spans_between(
    windows: Iterable[DailySpan], since: datetime, until: datetime, zone: tzinfo = UTC
) -> list[tuple[datetime, datetime]]:
    """Return the concrete spans (start, end) in UTC that touch [since, until], in order; `zone` has the clocks."""
    spans: list[tuple[datetime, datetime]] = []
    for window in windows:
        day, last = (moment.astimezone(zone).date() for moment in (since, until))
        day -= timedelta(days=1)
        while day <= last:
            start = datetime.combine(day, time.fromisoformat(window.start), zone)
            end = datetime.combine(day, time.fromisoformat(window.end), zone)
            # By the clock on the wall: the night in which it is changed is an hour longer or shorter.
            end = end if end > start else end + timedelta(days=1)
            start, end = start.astimezone(UTC), end.astimezone(UTC)
            if DAYS[day.weekday()] in window.days and start <= until and end > since:
                spans.append((start, end))
            day += timedelta(days=1)
    return sorted(spans)


def open_until(windows: Iterable[DailySpan], tick: datetime, zone: tzinfo = UTC) -> datetime | None:
    """Return when the maintenance window ends in which a moment lies; None where it lies in none."""
    return max((end for start, end in spans_between(windows, tick, tick, zone) if start <= tick < end), default=None)


def hour_of_day(at_s: float, zone: tzinfo = UTC) -> float:
    """Return the hour of day, 0 to 24, of epoch seconds on the clocks of a time zone."""
    at = datetime.fromtimestamp(at_s, zone)
    return at.hour + at.minute / 60 + (at.second + at.microsecond / 1e6) / 3600
