"""Ramps: what climbs or falls in a straight line far faster than it ever does, as a queue whose consumer stalled.

A forecast that was chosen by calm weeks holds the last value there, turn after turn. What has gone on for a while goes
on as long again with an even chance (Lindy's law, the survival of a Pareto distribution), and then stays where it is:
so each path follows the line for a time of its own. What falls back goes no further than the usual level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.forecast.batch import Floats
from tasks.forecast.fleet.prepare import PLAUSIBLE_MAGNITUDE

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

DOUBT_STEPS = 3
"""After so many steps it goes on at all with an even chance."""

BY_CLOCK, EITHER_SIDE = 0.5, 3
"""How much of the same move on an earlier day, so many steps sooner or later, makes it one that the clock brings."""

GLANCE = 8
"""Every so many moves are looked at first; what is not fast by these is looked at no closer."""


SQUARE_ROOT = 2**0.5
"""Whole multiples of it, less what is before the point, are spread evenly and in no order."""


@dataclass(frozen=True)
class Ramp:
    """A series that has gone by `rate` a step for `age` steps, up to `last`, within `scatter` of a straight line.

    On its way back it stays at `rest`.
    """

    row: int
    rate: float
    age: int
    last: float
    scatter: float
    rest: float | None = None

    def mixed_into(self, paths: Floats, chances: Floats) -> Floats:
        """Return paths (s, h) of which the share that the ramp's age speaks for goes on, the others as they are.

        `chances` (s,), spread evenly over (0, 1), say which do, and for how long each.
        """
        # Imported late: the facade and the command line show forecasts, and make none.
        from scipy.special import ndtri

        share = self.age / (self.age + DOUBT_STEPS)
        chance = np.minimum(chances / share, 1 - 1e-9)
        goes_on = self.age * chance / (1 - chance)
        reached = self.last + self.rate * np.minimum(np.arange(1, paths.shape[1] + 1), goes_on[:, None])
        if self.rest is not None:
            reached = np.maximum(reached, self.rest) if self.rate < 0 else np.minimum(reached, self.rest)
        beside = ndtri((np.arange(len(paths)) * SQUARE_ROOT + 0.5 / len(paths)) % 1.0)
        return np.where((chances < share)[:, None], reached + self.scatter * beside[:, None], paths)

    def told(self) -> str:
        """Return in words what goes on."""
        way = "climbed" if self.rate > 0 else "fallen"
        return f"it has {way} in a straight line for {self.age} steps, much faster than usual: it may go on so"


def find_ramps(values: Floats, season: int) -> list[Ramp]:
    """Return the ramp of each series (n, t), NaN where missing, that is on one, in the order of rows.

    `season` is a day in steps: what moves so every day is on none.
    """
    shortest = LENGTHS[-1]
    if values.shape[1] <= (FEWEST_TIMES + 1) * shortest:
        return []
    with np.errstate(invalid="ignore"):
        moves = np.abs(values[:, -1] - values[:, -1 - shortest])
        before = np.abs(values[:, shortest:-shortest:GLANCE] - values[:, : -2 * shortest : GLANCE])
        seen = np.isfinite(before)
        usual = np.where(seen, before, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        fast = np.flatnonzero(moves > LEAST_SPEED / 2 * usual)
    return [ramp for row in fast.tolist() if (ramp := _ramp(values[row], row, season)) is not None]


def _ramp(values: Floats, row: int, season: int) -> Ramp | None:
    """Return the ramp at the end of a history (t,); None where there is none."""
    seen = values[np.isfinite(values)]
    if not np.isfinite(values[-1 - LENGTHS[-1] :]).all() or np.abs(seen).max() > PLAUSIBLE_MAGNITUDE:
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
        return Ramp(row, rate, length, last, scatter, usual if (usual - last) * rate > 0 else None)
    return None


def _off_line(values: Floats, length: int, least: float) -> float | None:
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


def _comes_by_clock(values: Floats, length: int, season: int) -> bool:
    """Tell whether a history (t,) moved much the same way at this time of an earlier day."""
    ends = len(values) - 1 - season * np.arange(1, len(values) // max(season, 1) + 1)
    ends = (ends[:, None] + np.arange(-EITHER_SIDE, EITHER_SIDE + 1)).ravel()
    ends = ends[ends >= length]
    moves = (values[ends] - values[ends - length]) / (values[-1] - values[-1 - length])
    return season > 1 and bool((moves > BY_CLOCK).any())
