"""How small an effect could be told from nothing, and how surely: known before an act, from past windows alone."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
from scipy.special import stdtr, stdtrit

from storage.records import FloatArray
from tasks.measure.inference.effect import FEWEST_WINDOWS
from tasks.measure.inference.past_errors import ErrorLedger
from tasks.measure.inference.placebo_windows import PlaceboWindows, compare_windows, placebos, standard_error

POWER_WANTED = 0.8
FURTHEST = 1_000.0
"""An effect of so many standard errors is found, or none is."""


@dataclass(frozen=True)
class Detectability:
    """What could be told over a window.

    `error` is the standard error in the metric's unit, `limit` how many of them an estimate must be off to count, and
    `past` (n_windows,) how far past windows without an action were off, in standard errors. Student's t with `freedom`
    degrees stands beside them, None where a metric that rests has no bell curve.
    """

    error: float
    limit: float
    past: FloatArray
    freedom: float | None

    def power(self, effect: float) -> float:
        """Return how likely an effect, in the metric's unit, is told from nothing.

        The mean of two answers: that of Student's t, too faint where most windows are calm and a few are wild, and the
        share of past windows that would have counted with the effect on top, which knows no more than they show.
        """
        off = abs(effect) / self.error
        counted = float(np.mean([np.abs(self.past + off) > self.limit, np.abs(self.past - off) > self.limit]))
        if self.freedom is None:
            return counted
        told = stdtr(self.freedom, off - self.limit) + stdtr(self.freedom, -off - self.limit)
        return float(told + counted) / 2

    def smallest(self, wanted: float = POWER_WANTED) -> float:
        """Return the smallest effect, in the metric's unit, told with a chance of `wanted`; inf where none is."""
        low, high = 0.0, FURTHEST
        if self.power(high * self.error) < wanted:
            return inf
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (low, middle) if self.power(middle * self.error) >= wanted else (middle, high)
        return high * self.error


def detectability(
    forecast: FloatArray, ledger: ErrorLedger, steps: int, *, alpha: float = 0.05
) -> Detectability | None:
    """Return what could be told of an act over the first `steps` of a forecast (h,), judged by a ledger at `alpha`.

    None where the past holds fewer windows than a verdict needs, or none that was off at all.
    """
    windows = compare_windows(forecast, forecast, ledger, steps)
    if windows.count < FEWEST_WINDOWS:
        return None
    nothing = placebos(windows, ledger)
    off = (windows.past[windows.valid] - nothing.centre) * windows.unit
    error = standard_error(windows, nothing)
    if not error > 0:
        return None
    if windows.is_resting:
        return Detectability(error, _limit_at_rest(off / error, windows, alpha), off / error, None)
    freedom = windows.independent_count - 1
    return Detectability(error, float(stdtrit(freedom, 1 - alpha / 2)), off / error, freedom)


def _limit_at_rest(off: FloatArray, windows: PlaceboWindows, alpha: float) -> float:
    """Return from where on so few past windows lie as far out that it counts (`exact_p_value`); inf for nowhere."""
    count = windows.independent_count
    share = (alpha * (1 + count) - 1) / count
    return float(np.quantile(np.abs(off), 1 - share)) if share > 0 else inf
