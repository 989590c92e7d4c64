"""Where a metric stands far off its usual level as a fault makes it: after a jump, or farther than ever before."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from storage.records import FloatArray
from tasks.interventions.fast_moves import ramp_in

FAR_SD = 2.0
NEWEST_STEPS = JUMP_STEPS = 3
LEAST_JUMP = 0.75
"""Of a move: how much of it lies between the steps just before and just after."""

UNHEARD_OF = 2 / 3
"""Of how far it stands off: what was never reached before, where it stands farther than ever."""


class Jump(NamedTuple):
    """How far a metric stands off its `usual` level, in its unit, and for how many steps."""

    usual: float
    size: float
    age_steps: int


class OffUsual(NamedTuple):
    """How far a metric stands off its `usual` level, or soon will: `sd` are standard deviations, positive upward."""

    usual: float
    sd: float


class _Excursion(NamedTuple):
    """By how much the newest of `seen` (n,) stand off the `usual` level, and since which step by more than half."""

    seen: FloatArray
    usual: float
    size: float
    sd: float
    begun: int


def jump_in(values: FloatArray) -> Jump | None:
    """Return the jump after which values (n,) stand where they do, in the median of the newest three; None without one.

    What wanders, follows the day or fills up passes what lies between on its way: it has not jumped.
    """
    found = _excursion(values)
    if found is None or not is_jump(found.seen, found.begun, found.size):
        return None
    return Jump(found.usual, found.size, len(found.seen) - found.begun)


def off_usual(values: FloatArray, ahead: FloatArray, season: int) -> OffUsual | None:
    """Return how far values (n,) stand off their median after a jump or farther than ever, or where a ramp leads them.

    `ahead` (h,) is what is forecast of them, `season` a day in steps. None where they do none of these.
    """
    found = _excursion(values)
    if found is not None and _is_unheard_of(found):
        return OffUsual(found.usual, found.size / found.sd)
    ramp = ramp_in(values, season) if len(ahead) else None
    if ramp is None or ramp.rest is not None:
        return None
    usual, sd = _usual(values[np.isfinite(values)])
    size = float(np.mean(ahead)) - usual
    return OffUsual(usual, size / sd) if size * ramp.rate > 0 and abs(size) > FAR_SD * sd else None


def _is_unheard_of(found: _Excursion) -> bool:
    farthest = float(np.max((found.seen[: found.begun] - found.usual) / found.size))
    return farthest < UNHEARD_OF or is_jump(found.seen, found.begun, found.size)


def _excursion(values: FloatArray) -> _Excursion | None:
    """Return what leads to where values (n,) stand, if that is far off their median; None where it is not."""
    seen = values[np.isfinite(values)]
    if len(seen) <= 2 * JUMP_STEPS:
        return None
    usual, sd = _usual(seen)
    size = float(np.median(seen[-NEWEST_STEPS:])) - usual
    if not abs(size) > FAR_SD * sd > 0:
        return None
    begun = int(np.flatnonzero((seen - usual) / size < 1 / 2)[-1]) + 1
    return _Excursion(seen, usual, size, sd, begun) if begun < len(seen) else None


def _usual(seen: FloatArray) -> tuple[float, float]:
    """Return the usual level of values (n,) and their standard deviation."""
    return float(np.median(seen)), float(np.std(seen))


def is_jump(values: FloatArray, step: int, size: float) -> bool:
    """Tell whether a move by `size` of values (n,), NaN where missing, lies in the few steps around one."""
    around = [values[max(0, step - JUMP_STEPS) : step], values[step : step + JUMP_STEPS]]
    seen = [part[np.isfinite(part)] for part in around]
    if not all(len(part) for part in seen):
        return False
    before, after = (float(np.median(part)) for part in seen)
    return (after - before) / size >= LEAST_JUMP
