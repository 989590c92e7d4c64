"""Whether another clock shows the same time as ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MOST_SKEW_S = 120.0
"""Two clocks that are further apart do not show the same time."""


def wall_clock() -> datetime:
    """Return what our clock shows: a tick is no measure of another clock, since a cycle may have had to wait."""
    return datetime.now(UTC)  # noqa: TID251


def skew_s(headers: Mapping[str, str]) -> float:
    """Return how far the clock of who answered is ahead of ours in seconds, 0 where it does not say."""
    try:
        told = parsedate_to_datetime(headers.get("Date", "")).astimezone(UTC)
    except (ValueError, OverflowError):
        return 0.0
    return (told - wall_clock()).total_seconds()


def told_skew(ahead_s: float) -> str:
    """Return a difference of clocks in words, to be followed by whose."""
    return f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'}"
