"""Plain English for values, moments and spans: every sentence that people read takes its numbers from here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from storage.records import metric_of

LARGEST_PLAIN = 1e15
SMALLEST_PLAIN = 1e-4
LEAST_CHANCE = 0.001

_BYTES = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))
_SECONDS = (("days", 172_800.0, 86_400.0), ("h", 7_200.0, 3_600.0), ("min", 120.0, 60.0), ("s", 1.0, 1.0))
_SIGNS = {"percent": "%"}
_UNITS = {
    "_ratio": "ratio",
    "_per_core": "per core",
    "_bytes_per_second": "bytes/s",
    "_bytes": "bytes",
    "_seconds": "s",
    "_milliseconds": "ms",
    "_ms": "ms",
    "_percent": "%",
}


def unit_of(series: str, recorded: Mapping[str, str] | None = None) -> str:
    """Return the unit of a series: as it was recorded, else as the metric's name ends; "" where neither tells."""
    unit_recorded = (recorded or {}).get(series)
    return unit_recorded or next((unit for end, unit in _UNITS.items() if metric_of(series).endswith(end)), "")


def value(amount: float, unit: str = "", digits: int = 4) -> str:
    """Return a value as people read it in its unit: ratios in percent, bytes in megabytes, seconds in hours."""
    if not math.isfinite(amount):
        return "unknown"
    if unit == "ratio":
        return f"{_share(100 * amount, digits)} %"
    if unit.startswith("bytes"):
        name, size = next((each for each in _BYTES if abs(amount) >= each[1]), _BYTES[-1])
        return f"{number(amount / size, digits)} {name}{unit.removeprefix('bytes')}"
    if unit in {"s", "seconds"}:
        return _time(amount, digits)
    return f"{number(amount, digits)} {_SIGNS.get(unit, unit)}".strip()


def number(amount: float, digits: int = 4) -> str:
    """Return a number with so many significant digits, whole ones whole, no exponent where people would write none."""
    if not math.isfinite(amount):
        return str(amount)
    if amount != 0 and not SMALLEST_PLAIN <= abs(amount) < LARGEST_PLAIN:
        return f"{amount:.{digits - 1}e}".replace("-", "−", 1 if amount < 0 else 0)
    places = max(0, digits - 1 - math.floor(math.log10(abs(amount)))) if amount else 0
    return _fixed(amount, places)


def listed(parts: Sequence[str]) -> str:
    """Return parts as people list them: `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def percent(share: float) -> str:
    """Return a share in percent: whole percents, and as many places near 0 and 1 as tell it from them."""
    return f"{_share(100 * share, 0)} %"


def chance(probability: float) -> str:
    """Return a probability in percent; finer than a tenth of a percent nobody knows one."""
    if 0 < probability < LEAST_CHANCE:
        return f"under {percent(LEAST_CHANCE)}"
    return f"over {percent(1 - LEAST_CHANCE)}" if 1 - LEAST_CHANCE < probability < 1 else percent(probability)


def moment(at: datetime) -> str:
    """Return a moment to the minute, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def between(early: datetime, late: datetime) -> str:
    """Return two moments as the ends of a span: to the second where the minute does not tell them apart."""
    if moment(early) != moment(late):
        return f"between {moment(early)} and {moment(late)}"
    ends = [each.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") for each in (early, late)]
    return f"at {ends[0]}" if ends[0] == ends[1] else f"between {ends[0]} and {ends[1]}"


def span(seconds: float) -> str:
    """Return a length of time in whole units, hours and days with a half where they are few: `1.5 hours`."""
    for unit, size, is_halved in (("day", 86_400.0, True), ("hour", 3_600.0, True), ("minute", 60.0, False)):
        if seconds >= 0.9917 * size:
            few = is_halved and seconds < 10 * size
            count = round(2 * seconds / size) / 2 if few else float(round(seconds / size))
            return f"{count:g} {unit}{'' if count == 1 else 's'}"
    return f"{max(1, round(seconds))} s"


def limit(side: str, bound: float, unit: str = "") -> str:
    """Return a bound as people say it."""
    return f"{'at most' if side == 'below' else 'at least'} {value(bound, unit)}"


def _share(points: float, digits: int) -> str:
    """Return percents with so many significant digits, and two of what is left to 0 or to 100 where that is less."""
    near = min(abs(points), abs(100 - points))
    places = 1 - math.floor(math.log10(near)) if 0 < near < 1 else 0
    digits_after = digits - 1 - math.floor(math.log10(abs(points))) if points else 0
    return _fixed(points, min(3, max(0, places, digits_after)))


def _time(seconds: float, digits: int) -> str:
    if 0 < abs(seconds) < 1:
        return f"{number(1_000 * seconds, digits)} ms"
    name, _, size = next((each for each in _SECONDS if abs(seconds) >= each[1]), _SECONDS[-1])
    return f"{number(seconds / size, digits)} {name}"


def _fixed(amount: float, places: int) -> str:
    text = f"{amount:,.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text.replace("-", "−")
