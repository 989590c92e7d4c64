"""Maintenance windows: daily spans in UTC on some days of the week, which may reach past midnight."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
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


def spans_between(windows: Iterable[DailySpan], since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """Return the concrete spans (start, end) that touch [since, until], in order."""
    spans: list[tuple[datetime, datetime]] = []
    for window in windows:
        day = since.date() - timedelta(days=1)
        while day <= until.date():
            start = datetime.combine(day, time.fromisoformat(window.start), UTC)
            end = datetime.combine(day, time.fromisoformat(window.end), UTC)
            end = end if end > start else end + timedelta(days=1)
            if DAYS[day.weekday()] in window.days and start <= until and end > since:
                spans.append((start, end))
            day += timedelta(days=1)
    return sorted(spans)


def open_until(windows: Iterable[DailySpan], tick: datetime) -> datetime | None:
    """Return when the maintenance window ends in which a moment lies; None where it lies in none."""
    return max((end for start, end in spans_between(windows, tick, tick) if start <= tick < end), default=None)
