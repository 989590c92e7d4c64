"""How far off a forecast may be right after a jump or in a fast move: nobody knows whether that stays or goes on.

Past windows, most of them calm, say nothing of that, and neither does a forecast that lies between the levels. What has
stood for a while stands as long again with an even chance (Lindy's law, the survival of a Pareto distribution), so the
part of a window for which it stays has a mean and a variance that follow from its age alone.
"""

from __future__ import annotations

import numpy as np

from storage.records import FloatArray
from tasks.interventions.fast_moves import rate_under_way
from tasks.interventions.jumps import jump_in

_SELDOM, _REACH = 0.05, 1.645
_LEVEL_DOUBT = 0.25
"""Of a jump: how far off its new level may be, which a few values tell."""


def unsettled_error(history: FloatArray, foretold: FloatArray) -> float:
    """Return the standard error of a window's mean forecast as a jump or a fast move may end or not; 0 without one.

    `history` is (n_steps,) up to the act, NaN where missing, `foretold` (steps,) the forecast of the window.
    """
    if not np.isfinite(foretold).any():
        return 0.0
    jump = jump_in(history)
    if jump is None:
        return _moving_error(history, foretold)
    stays = min(1.0, max(0.0, float(np.nanmean(foretold) - jump.usual) / jump.size))
    variance = max(_variance_of_stay(jump.age_steps, len(foretold)), stays * (1 - stays))
    # An interval of 90 % is to reach as far as what may well be, that it stays for as long as one in twenty does.
    longest = min(1.0, jump.age_steps * (1 / _SELDOM - 1) / len(foretold))
    farthest = ((1 + _LEVEL_DOUBT) * longest - stays) / _REACH
    return abs(jump.size) * max(float(np.sqrt(variance)), farthest)


def _moving_error(history: FloatArray, foretold: FloatArray) -> float:
    """Return the standard error of a window's mean forecast as a fast move may go on or stop; 0 without one."""
    rate = rate_under_way(history)
    if not rate:
        return 0.0
    stops = float(history[-1]) - float(np.nanmean(foretold))
    goes_on = stops + rate * (len(foretold) + 1) / 2
    return float(np.sqrt((stops**2 + goes_on**2) / 2))


def _variance_of_stay(age_steps: int, steps: int) -> float:
    """Return the variance of the share of a window for which a level stays that has stood for so many steps."""
    ahead = np.arange(1, steps + 1)
    survives = age_steps / (age_steps + ahead)
    mean = float(survives.sum()) / steps
    return max(0.0, float(((2 * ahead - 1) * survives).sum()) / steps**2 - mean**2)
