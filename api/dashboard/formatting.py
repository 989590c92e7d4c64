"""How pages show values, units, times and states."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from markupsafe import Markup, escape

from tasks import text
from tasks.text import span

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
    """Return a value in its unit with three significant digits, a dash where there is none."""
    return "–" if amount is None or not math.isfinite(amount) else text.value(amount, unit, digits=3)


def change(amount: float | None, series: str) -> str:
    """Return a change of a metric in the unit that its name tells; a ratio's in percentage points."""
    unit = text.unit_of(series)
    if unit == "ratio" and amount is not None and math.isfinite(amount):
        return f"{text.number(round(100 * amount, 2), digits=3)} points"
    return value(amount, unit)


def ago(moment: datetime, now: datetime) -> str:
    """Return how far a moment lies from now: `in 5 minutes`, `2 hours ago`."""
    distance_s = (moment - now).total_seconds()
    if abs(distance_s) < 5:
        return "now"
    return f"in {span(distance_s)}" if distance_s > 0 else f"{span(-distance_s)} ago"


def tone(word: str) -> str:
    """Return the colour class of a state, status or verdict."""
    return _TONES.get(word, "plain")


def code(sentence: str) -> Markup:
    """Return a sentence whose `words in backticks` are shown as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))


def facts(summary: Mapping[str, Any]) -> str:
    """Return what a stage recorded of itself as a line of words: `forecasts 3 · state critical`."""
    told = ((name.replace("_", " "), _fact(each)) for name, each in summary.items())
    return " · ".join(f"{name} {said}" for name, said in told if said) or "nothing new"


def _fact(recorded: Any) -> str:
    if isinstance(recorded, Mapping):
        return ", ".join(f"{name} {_fact(each)}" for name, each in recorded.items())
    if isinstance(recorded, list | tuple):
        return ", ".join(map(_fact, recorded))
    return f"{recorded:g}" if isinstance(recorded, float) else str(recorded)


def title(name: str) -> str:
    """Return a constant as words: `BOTTLENECK_PREVENTION` as `Bottleneck prevention`."""
    return "SLA maintenance" if name == "SLA_MAINTENANCE" else name.replace("_", " ").capitalize()
