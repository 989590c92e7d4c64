"""Plain English for numbers, moments and spans."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def number(value: float) -> str:
    """Return a number with four significant digits and no exponent where people would write none."""
    if not math.isfinite(value):
        return str(value)
    if value != 0 and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.3e}"
    digits = max(0, 3 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(share: float) -> str:
    """Return a share in percent, with a digit more near 0 and 1."""
    points = 100 * share
    return f"{points:.0f} %" if 1 <= points <= 99 or points in (0, 100) else f"{points:.2g} %"


def moment(at: datetime) -> str:
    """Return a moment to the minute, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def span(seconds: float) -> str:
    """Return a span in the unit that people would use."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 1.5 * size or (unit != "day" and seconds >= size):
            count = f"{seconds / size:.1f}".rstrip("0").rstrip(".")
            return f"{count} {unit}{'' if count == '1' else 's'}"
    return f"{seconds:.0f} seconds"


def limit(side: str, bound: float) -> str:
    """Return a bound as people say it."""
    return f"{'at most' if side == 'below' else 'at least'} {number(bound)}"
