"""Local wall-clock time as arrays: daily and weekly habits follow it, also across DST changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from tasks.patterns.inputs import DAY_S, EARLIEST_S, HOUR_S, LATEST_S, Floats

_QUARTER_S = 900.0
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def utc_offset_s(times_s: Floats, zone: str) -> Floats:
    """Return what must be added to unix seconds to read `zone`'s wall clock, for times of any shape.

    Offsets change on quarter hours only, so one lookup per distinct quarter hour is enough.
    """
    if zone == "UTC":
        return np.zeros_like(times_s, dtype=float)
    quarters, which = np.unique(np.floor(np.clip(times_s, EARLIEST_S, LATEST_S) / _QUARTER_S), return_inverse=True)
    tz = ZoneInfo(zone)
    offsets = np.array([_offset_at(quarter * _QUARTER_S, tz) for quarter in quarters], dtype=float)
    return offsets[which].reshape(np.shape(times_s))


def local_s(times_s: Floats, zone: str) -> Floats:
    """Return the wall-clock reading of unix seconds as seconds since 1970-01-01 00:00 of that wall clock."""
    return np.asarray(times_s + utc_offset_s(times_s, zone), dtype=float)


def unix_s(wall_s: float, zone: str) -> float:
    """Return the unix seconds at which the wall clock reads `wall_s`; a skipped reading means the hour after it."""
    first_guess = wall_s - float(utc_offset_s(np.array(wall_s), zone))
    return wall_s - float(utc_offset_s(np.array(first_guess), zone))


def clock_text(wall_s: float) -> str:
    """Return 'HH:MM' of a wall-clock reading."""
    minutes = int((wall_s % DAY_S) // 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def weekday(wall_s: Floats) -> Floats:
    """Return 0 for Monday to 6 for Sunday; 1970-01-01 was a Thursday."""
    return np.asarray((np.floor(wall_s / DAY_S) + 3) % 7)


def moment_text(time_s: float, zone: str) -> str:
    """Return 'YYYY-MM-DD HH:MM' in the zone's wall clock."""
    wall = _UNIX_EPOCH + timedelta(seconds=float(np.clip(local_s(np.array(time_s), zone), EARLIEST_S, LATEST_S)))
    return wall.strftime("%Y-%m-%d %H:%M")


def duration_text(seconds: float) -> str:
    """Return a duration as people say it: '40 s', '25 min', '6 h', '3 days'."""
    for unit_s, unit, below in ((1.0, "s", 90.0), (60.0, "min", 90 * 60.0), (HOUR_S, "h", 36 * HOUR_S)):
        if seconds < below:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds / DAY_S:.3g} days"


def _offset_at(time_s: float, tz: ZoneInfo) -> float:
    offset = (_UNIX_EPOCH + timedelta(seconds=time_s)).astimezone(tz).utcoffset()
    return offset.total_seconds() if offset is not None else 0.0
