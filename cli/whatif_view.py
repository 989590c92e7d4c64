"""`foreact whatif`: which moment is meant, and the answer as tables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from cli import show
from settings import utc_now
from storage.errors import ForeactError
from tasks.text import number, percent, unit_of, value

UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
LINES = 6


def moment_of(at: str) -> str | None:
    """Return a moment as REST takes it, from `+30m` or as it stands; None for now. Raises `whatif_moment`."""
    if not at or at == "now":
        return None
    if not at.startswith("+"):
        return at
    given = re.fullmatch(r"\+(\d+(?:\.\d+)?)([smhd])", at)
    if given is None:
        raise ForeactError("whatif_moment", f"{at!r:.100} is no moment.", "Write it as +30m, +2h or 2026-03-02T12:00Z.")
    return (utc_now() + timedelta(seconds=float(given[1]) * UNITS_S[given[2]])).isoformat()


def shown(answer: Mapping[str, Any]) -> None:
    """Print what would change: each metric at some moments, what breaks, what it is worth."""
    show.say(answer["sentence"])
    for fan in answer["metrics"]:
        show.table(fan["series"], ("at", "without it", "with it"), _rows(fan), "")
    breaches = [
        (each["objective"], each["series"], percent(each["without"]), percent(each["with_act"]))
        for each in answer["breaches"]
    ]
    if breaches:
        show.table("breaks in", ("objective", "series", "without it", "with it"), breaches, "")
    gains = [(each["goal_id"], number(each["gain"]), number(each["needed"])) for each in answer["gains"]]
    if gains:
        show.table("worth", ("goal", "gain", "needed"), gains, "")
    for note in answer["notes"]:
        show.say(note)
    past = answer["past"]
    if past["coverage_90"] is not None:
        show.say(f"90 % bands of past acts held {percent(past['coverage_90'])} of {past['observations']} observations.")


def _rows(fan: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return some steps, evenly spread, each with the middle and the 90 % band."""
    count = len(fan["timestamps"])
    places = sorted({round((step + 1) * count / LINES) - 1 for step in range(LINES)} & set(range(count)))
    unit, middle = unit_of(fan["series"]), len(fan["levels"]) // 2

    def told(row: list[float]) -> str:
        low, mid, high = (value(row[place], unit, digits=3) for place in (0, middle, -1))
        return f"{mid} ({low} to {high})"

    return [
        (f"{show.moment(fan['timestamps'][place])} UTC", told(fan["without"][place]), told(fan["with_act"][place]))
        for place in places
    ]
