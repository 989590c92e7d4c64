"""How far values lie beyond a bound, and what that weighs, in planning as in what is learned of late effects."""

from __future__ import annotations

from typing import Literal

import numpy as np

from storage.records import FloatArray

Side = Literal["below", "above"]
AT_BOUND, FAR_SD = 0.5, 2.0
"""What a value just beyond weighs, and from how many standard deviations on it weighs one."""

SLOPE = AT_BOUND / FAR_SD


def excess_of(values: FloatArray, bound: float, side: Side, sd: float) -> FloatArray:
    """Return how far values lie beyond a bound, in standard deviations; negative where they keep it."""
    return np.asarray(((values - bound) if side == "below" else (bound - values)) / sd, dtype=float)
