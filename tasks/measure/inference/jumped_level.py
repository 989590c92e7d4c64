"""How far off a forecast may be right after a jump: nobody knows yet whether the new level stays.

Past windows, most of them calm, say nothing of that, and neither does a forecast that lies between the levels. What has
stood for a while stands as long again with an even chance (Lindy's law, the survival of a Pareto distribution), so the
part of a window for which it stays has a mean and a variance that follow from its age alone.
"""

from __future__ import annotations

import numpy as np

from storage.records import FloatArray

FAR_SD = 2.0
JUMP_STEPS = 3
LEAST_JUMP = 0.75
"""Of the way from the usual level: how much of it lies between the steps just before and just after."""


def unsettled_error(history: FloatArray, foretold: FloatArray) -> float:
    """Return the standard error that a window's mean forecast has as it is open whether a jump stays; 0 without one.

    `history` is (n_steps,) up to the act, NaN where missing, `foretold` (steps,) the forecast of the window.
    """
    values = history[np.isfinite(history)]
    jump = _jump(values)
    if jump is None:
        return 0.0
    usual, size, age_steps = jump
    stays = min(1.0, max(0.0, float(np.nanmean(foretold) - usual) / size))
    variance = max(_variance_of_stay(age_steps, len(foretold)), stays * (1 - stays))
    return abs(size) * float(np.sqrt(variance))


def _jump(values: FloatArray) -> tuple[float, float, int] | None:
    """Return the usual level of values (n,), how far a jump led from it, and how many steps ago; None without one."""
    if len(values) <= 2 * JUMP_STEPS:
        return None
    usual, sd = float(np.median(values)), float(np.std(values))
    size = float(np.median(values[-JUMP_STEPS:])) - usual
    if not abs(size) > FAR_SD * sd > 0:
        return None
    near_usual = np.flatnonzero((values - usual) / size < 1 / 2)
    begun = int(near_usual[-1]) + 1
    before = float(np.median(values[max(0, begun - JUMP_STEPS) : begun]))
    after = float(np.median(values[begun : begun + JUMP_STEPS]))
    return (usual, size, len(values) - begun) if (after - before) / size >= LEAST_JUMP else None


def _variance_of_stay(age_steps: int, steps: int) -> float:
    """Return the variance of the share of a window for which a level stays that has stood for so many steps."""
    ahead = np.arange(1, steps + 1)
    survives = age_steps / (age_steps + ahead)
    mean = float(survives.sum()) / steps
    return max(0.0, float(((2 * ahead - 1) * survives).sum()) / steps**2 - mean**2)
