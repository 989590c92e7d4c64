"""Ramps: what climbs or falls in a straight line far faster than it ever does, as a queue whose consumer stalled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from storage.records import FloatArray

LENGTHS = (96, 48, 24, 12, 6)
"""Steps; the longest stretch that is a straight line counts as the ramp's age."""

NEWEST_STEPS = 12
"""By which steps the speed of a longer ramp goes."""

FEWEST_TIMES = 4
"""How many times a ramp's length must have been seen before it."""

LEAST_SPEED = 6.0
"""How much farther it went than moves of the same length before did on average."""

LEAST_MOVE_SD = 2.0
MOST_OFF_LINE = 0.06
"""How far off a straight line it may lie, as a root mean square of its whole move."""

BY_CLOCK, EITHER_SIDE = 0.5, 3
"""How much of the same move on an earlier day, so many steps sooner or later, makes it one that the clock brings."""

MOST_MAGNITUDE = 1e15
"""Beyond it nothing is told from rounding."""


@dataclass(frozen=True)
class Ramp:
    """What has gone by `rate` a step for `age` steps, up to `last`, within `scatter` of a straight line.

    On its way back it goes no further than `rest`, its usual level; None where it goes away from that.
    """

    rate: float
    age: int
    last: float
    scatter: float
    rest: float | None = None


def ramp_in(values: FloatArray, season: int) -> Ramp | None:
    """Return the ramp at the end of a history (t,), NaN where missing; None where there is none.

    `season` is a day in steps: what moves so every day is on none.
    """
    seen = values[np.isfinite(values)]
    if len(values) <= LENGTHS[-1] or not np.isfinite(values[-1 - LENGTHS[-1] :]).all():
        return None
    if np.abs(seen).max() > MOST_MAGNITUDE:
        return None
    usual, least = float(np.median(seen)), LEAST_MOVE_SD * float(np.std(seen))
    for length in LENGTHS:
        scatter = _off_line(values, length, least) if len(values) > (FEWEST_TIMES + 1) * length else None
        if scatter is None:
            continue
        if _comes_by_clock(values, length, season):
            return None
        last, newest = float(values[-1]), min(length, NEWEST_STEPS)
        rate = (last - float(values[-1 - newest])) / newest
        return Ramp(rate, length, last, scatter, usual if (usual - last) * rate > 0 else None)
    return None


def _off_line(values: FloatArray, length: int, least: float) -> float | None:
    """Return how far off a straight line the newest `length` steps of a history (t,) lie; None if it is no ramp."""
    line = values[-length - 1 :]
    before = np.abs(values[length:-length] - values[: -2 * length])
    before, move = before[np.isfinite(before)], abs(float(line[-1] - line[0]))
    if not np.isfinite(line).all() or len(before) < length or move < least:
        return None
    places = np.arange(length + 1)
    slope, level = np.polyfit(places, line, 1)
    off = float(np.sqrt(np.mean((line - level - slope * places) ** 2)))
    return off if off <= MOST_OFF_LINE * move and move >= LEAST_SPEED * float(before.mean()) else None


def _comes_by_clock(values: FloatArray, length: int, season: int) -> bool:
    """Tell whether a history (t,) moved much the same way at this time of an earlier day."""
    ends = len(values) - 1 - season * np.arange(1, len(values) // max(season, 1) + 1)
    ends = (ends[:, None] + np.arange(-EITHER_SIDE, EITHER_SIDE + 1)).ravel()
    ends = ends[ends >= length]
    moves = (values[ends] - values[ends - length]) / (values[-1] - values[-1 - length])
    return season > 1 and bool((moves > BY_CLOCK).any())
