"""Ramps: what climbs or falls in a straight line far faster than it ever does, as a queue whose consumer stalled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from storage.records import FloatArray

LENGTHS = (96, 48, 24, 12, 6)
"""Steps; the longest stretch that is a straight line counts as the ramp's age."""

NEWEST_STEPS = 12
"""By which steps the speed of a longer ramp goes."""

MOST_RECENT_STEPS = 24
"""What went fast over as many steps at most is still under way."""

NOW_STEPS = 3
MOST_AT_ONCE = 0.5
"""Of the newest move: what goes farther in one step has jumped."""

FEWEST_TIMES = 4
"""How many times a ramp's length must have been seen before it."""

LEAST_SPEED = 6.0
"""How much farther it went than moves of the same length before did on average."""

LEAST_MOVE_SD = 2.0
MOST_OFF_LINE = 0.06
"""How far off a straight line it may lie, as a root mean square of its whole move."""

FEWEST_DAYS = 2
BY_CLOCK, QUARTERS_A_DAY = 0.5, 96
"""How much of the same move on an earlier day, a quarter of an hour sooner or later, makes the clock what brings it."""

MOST_MAGNITUDE = 1e15
"""Beyond it nothing is told from rounding."""


@dataclass(frozen=True)
class Ramp:
    """What has gone by `rate` a step for `age` steps, up to `last`, within `scatter` of a straight line.

    On its way back it goes no further than `rest`, its usual level; None where it goes away from that.
    `is_never_negative` tells whether it never was.
    """

    rate: float
    age: int
    last: float
    scatter: float
    rest: float | None = None
    is_never_negative: bool = False


def ramp_in(values: FloatArray, season: int) -> Ramp | None:
    """Return the ramp at the end of a history (t,), NaN where missing; None where there is none.

    `season` is a day in steps: what moves so every day is on none, which two days tell at least.
    """
    if not 1 < season <= len(values) / FEWEST_DAYS or not np.isfinite(values[-1 - LENGTHS[-1] :]).all():
        return None
    seen = values[np.isfinite(values)]
    if np.abs(seen).max() > MOST_MAGNITUDE:
        return None
    usual, least = float(np.median(seen)), LEAST_MOVE_SD * float(np.std(seen))
    for length in LENGTHS:
        scatter = _off_line(values, length) if _is_fast(values, length, least) else None
        if scatter is None:
            continue
        if _comes_by_clock(values, length, season):
            return None
        last, newest = float(values[-1]), min(length, NEWEST_STEPS)
        rate = (last - float(values[-1 - newest])) / newest
        returns = (usual - last) * rate > 0
        return Ramp(rate, length, last, scatter, usual if returns else None, bool(seen.min() >= 0))
    return None


def rate_under_way(values: FloatArray) -> float:
    """Return by how much a step a history (t,), NaN where missing, moves just now, if that is far beyond the usual.

    A jump is no move that is under way, and what slows down is as fast as its newest steps are.
    """
    newest = np.diff(values[-1 - LENGTHS[-1] :])
    if len(newest) < LENGTHS[-1] or not np.isfinite(newest).all():
        return 0.0
    if np.abs(newest).max() > MOST_AT_ONCE * abs(newest.sum()):
        return 0.0
    least = LEAST_MOVE_SD * float(np.nanstd(values))
    is_fast = any(_is_fast(values, length, least) for length in LENGTHS if length <= MOST_RECENT_STEPS)
    rate = float(np.median(newest[-NOW_STEPS:]))
    return rate if is_fast and rate * newest.sum() > 0 else 0.0


def _is_fast(values: FloatArray, length: int, least: float) -> bool:
    """Tell whether the newest `length` steps of a history (t,) went much farther than so many usually do."""
    if len(values) <= (FEWEST_TIMES + 1) * length or not np.isfinite(values[-length - 1 :]).all():
        return False
    before = np.abs(values[length:-length] - values[: -2 * length])
    before, move = before[np.isfinite(before)], abs(float(values[-1] - values[-length - 1]))
    return len(before) >= length and move >= max(least, LEAST_SPEED * float(before.mean()))


def _off_line(values: FloatArray, length: int) -> float | None:
    """Return how far off a straight line the newest `length` steps of a history (t,) lie; None if too far."""
    line, places = values[-length - 1 :], np.arange(length + 1)
    slope, level = np.polyfit(places, line, 1)
    off = float(np.sqrt(np.mean((line - level - slope * places) ** 2)))
    return off if off <= MOST_OFF_LINE * abs(float(line[-1] - line[0])) else None


def _comes_by_clock(values: FloatArray, length: int, season: int) -> bool:
    """Tell whether a history (t,) moved much the same way at this time of an earlier day."""
    ends = len(values) - 1 - season * np.arange(1, len(values) // season + 1)
    reach = season // QUARTERS_A_DAY
    ends = (ends[:, None] + np.arange(-reach, reach + 1)).ravel()
    ends = ends[(ends >= length) & (ends < len(values) - length)]
    moves = (values[ends] - values[ends - length]) / (values[-1] - values[-1 - length])
    return bool((moves > BY_CLOCK).any())
