"""A jump of a metric to a level far off its usual one, as a fault makes it: found in what was seen up to now."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from storage.records import FloatArray

FAR_SD = 2.0
NEWEST_STEPS = JUMP_STEPS = 3
LEAST_JUMP = 0.75
"""Of a move: how much of it lies between the steps just before and just after."""


class Jump(NamedTuple):
    """How far a metric stands off its `usual` level, in its unit, in its `sd`, and for how many steps."""

    usual: float
    size: float
    sd: float
    age_steps: int

    @property
    def size_sd(self) -> float:
        """Return how far that is in standard deviations of all that was seen."""
        return self.size / self.sd


def jump_in(values: FloatArray) -> Jump | None:
    """Return the jump after which values (n,) stand where they do, in the median of the newest three; None without one.

    What wanders, follows the day or fills up passes what lies between on its way: it has not jumped.
    """
    values = values[np.isfinite(values)]
    if len(values) <= 2 * JUMP_STEPS:
        return None
    usual, sd = float(np.median(values)), float(np.std(values))
    size = float(np.median(values[-NEWEST_STEPS:])) - usual
    if not abs(size) > FAR_SD * sd > 0:
        return None
    near_usual = np.flatnonzero((values - usual) / size < 1 / 2)
    begun = int(near_usual[-1]) + 1
    if begun == len(values):
        return None
    return Jump(usual, size, sd, len(values) - begun) if is_jump(values, begun, size) else None


def is_jump(values: FloatArray, step: int, size: float) -> bool:
    """Tell whether a move by `size` of values (n,), NaN where missing, lies in the few steps around one."""
    around = [values[max(0, step - JUMP_STEPS) : step], values[step : step + JUMP_STEPS]]
    seen = [part[np.isfinite(part)] for part in around]
    if not all(len(part) for part in seen):
        return False
    before, after = (float(np.median(part)) for part in seen)
    return (after - before) / size >= LEAST_JUMP
