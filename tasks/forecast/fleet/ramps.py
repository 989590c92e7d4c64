"""Series on a ramp are forecast to go on for a while, where one that calm weeks chose holds their last value.

What has gone on for a while goes on as long again with an even chance (Lindy's law, the survival of a Pareto
distribution), and then stays where it is: so each path follows the line for a time of its own.
"""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Floats
from tasks.interventions.fast_moves import FEWEST_DAYS, FEWEST_TIMES, LEAST_SPEED, LENGTHS, Ramp, ramp_in

DOUBT_STEPS = 3
"""After so many steps it goes on at all with an even chance."""

GLANCE = 8
"""Every so many moves are looked at first; what is not half as fast by these is looked at no closer."""


def find_ramps(values: Floats, season: int) -> dict[int, Ramp]:
    """Return the ramps that series (n, t), NaN where missing, are on, by row; `season` is a day in steps.

    In less than two days nobody knows what comes by the clock: recorded fleets that young went on less often than not.
    """
    shortest = LENGTHS[-1]
    if values.shape[1] < max(FEWEST_DAYS * season, (FEWEST_TIMES + 1) * shortest):
        return {}
    with np.errstate(invalid="ignore"):
        moves = np.abs(values[:, -1] - values[:, -1 - shortest])
        before = np.abs(values[:, shortest:-shortest:GLANCE] - values[:, : -2 * shortest : GLANCE])
        seen = np.isfinite(before)
        usual = np.where(seen, before, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        fast = np.flatnonzero(moves > LEAST_SPEED / 2 * usual)
    return {row: ramp for row in fast.tolist() if (ramp := ramp_in(values[row], season)) is not None}


def mixed_with_ramp(ramp: Ramp, paths: Floats, chances: Floats, others: Floats) -> Floats:
    """Return paths (s, h) of which the share that the ramp's age speaks for follows it, the others as they are.

    `chances` (s,), spread evenly over (0, 1), say which do, and for how long each, `others` (s,) how far off the line.
    """
    # Imported late: the facade and the command line show forecasts, and make none.
    from scipy.special import ndtri

    share = ramp.age / (ramp.age + DOUBT_STEPS)
    chance = np.minimum(chances / share, 1 - 1e-9)
    goes_on = ramp.age * chance / (1 - chance)
    reached = ramp.last + ramp.rate * np.minimum(np.arange(1, paths.shape[1] + 1), goes_on[:, None])
    if ramp.rest is not None:
        reached = np.maximum(reached, ramp.rest) if ramp.rate < 0 else np.minimum(reached, ramp.rest)
    return np.where((chances < share)[:, None], reached + ramp.scatter * ndtri(others)[:, None], paths)


def told_of_ramp(ramp: Ramp) -> str:
    """Return in words what goes on."""
    way = "climbed" if ramp.rate > 0 else "fallen"
    return f"it has {way} in a straight line for {ramp.age} steps, much faster than usual: it may go on so"
