"""How values, units, times and states read on a page."""

from __future__ import annotations

import math
from datetime import datetime

from tasks.goals.text import number

_BYTES = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
_TONES = {
    "healthy": "good",
    "achieved": "good",
    "improved": "good",
    "succeeded": "good",
    "degraded": "warn",
    "blocked": "warn",
    "proposed": "calm",
    "active": "calm",
    "waiting for approval": "warn",
    "critical": "bad",
    "failed": "bad",
    "worse": "bad",
    "timed_out": "bad",
}


def value(amount: float | None, unit: str = "") -> str:
    """Return a value as people read it in its unit: ratios in percent, bytes in megabytes."""
    if amount is None or not math.isfinite(amount):
        return "–"
    if unit == "ratio":
        return f"{_three(100 * amount)} %".replace("-", "−")
    if unit.startswith("bytes"):
        name, size = next(((n, s) for n, s in _BYTES if abs(amount) >= s), ("B", 1.0))
        return f"{_three(amount / size)} {name}{unit.removeprefix('bytes')}"
    return f"{_three(amount)} {unit}".strip().replace("-", "−")


def span(seconds: float) -> str:
    """Return a length of time in whole units, hours and days with a half where they are few: `1.5 hours`."""
    for unit, size, is_halved in (("day", 86_400.0, True), ("hour", 3_600.0, True), ("minute", 60.0, False)):
        if seconds >= 0.9917 * size:
            few = is_halved and seconds < 10 * size
            count = round(2 * seconds / size) / 2 if few else float(round(seconds / size))
            return f"{count:g} {unit}{'' if count == 1 else 's'}"
    return f"{max(1, round(seconds))} s"


def ago(moment: datetime, now: datetime) -> str:
    """Return how far a moment lies from now: `in 5 minutes`, `2 hours ago`."""
    distance_s = (moment - now).total_seconds()
    if abs(distance_s) < 5:
        return "now"
    return f"in {span(distance_s)}" if distance_s > 0 else f"{span(-distance_s)} ago"


def tone(word: str) -> str:
    """Return the colour class of a state, status or verdict."""
    return _TONES.get(word, "plain")


def title(name: str) -> str:
    """Return a constant as words: `BOTTLENECK_PREVENTION` as `Bottleneck prevention`."""
    return "SLA maintenance" if name == "SLA_MAINTENANCE" else name.replace("_", " ").capitalize()


def _three(amount: float) -> str:
    """Return three significant digits; whole numbers are left whole."""
    if amount == 0 or abs(amount) >= 100:
        return number(round(amount))
    return number(float(f"{amount:.3g}"))
