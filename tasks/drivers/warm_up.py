"""What was added works slower at first: a cold cache, a table that is loaded; how much and how long is learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from storage.records import FloatArray
from tasks.drivers.backlog import effective, error_of
from tasks.drivers.responses import Response

_RATIOS = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0)
_FADES_S = (60.0, 120.0, 240.0, 480.0, 960.0, 1_920.0)
_REACH = 3.0
_FEWEST_RISES = 4
_CLEARLY_BETTER = 0.8


@dataclass(frozen=True)
class WarmUp:
    """After an increase the driver counts 1 + `ratio` times, fading with `fade_s`."""

    ratio: float
    fade_s: float

    def factors(self, working: FloatArray, step_s: float) -> FloatArray:
        """Return by what the driver is multiplied at each step (n_steps,), for the capacity that works."""
        return 1.0 + self.ratio * np.exp(-_age_s(working, step_s) / self.fade_s)


def fit_warm_up(
    response: Response, seen: FloatArray, driver: FloatArray, capacity: FloatArray, lag: int, step_s: float
) -> tuple[int, WarmUp] | None:
    """Return the lag in steps and how much slower increases were at first, all rows (n_steps,), gaps filled.

    A slow start looks like a lag as well: so it is tried with none, with half of it and with the `lag` that explains
    the metric best alone. None where fewer than four increases are there, or none of these tells the metric after half
    of them, and after the others as well, with a fifth less error than that lag alone.
    """
    turn = np.searchsorted(np.flatnonzero(np.diff(capacity) > 0) + 1, np.arange(len(seen)), side="right")
    if turn[-1] < _FEWEST_RISES:
        return None
    is_near = _age_s(capacity, step_s) <= _REACH * max(_FADES_S)
    halves = [is_near & (turn % 2 == part) for part in (0, 1)]
    working = {each: effective(capacity, each) for each in sorted({0, lag // 2, lag})}

    def errors(lagged: int, tried: WarmUp | None) -> FloatArray:
        factor = tried.factors(working[lagged], step_s) if tried is not None else 1.0
        told = response.metric(driver * factor, working[lagged])
        return np.array([error_of(seen[half], told[half]) for half in halves])

    tries = [(each, WarmUp(ratio, fade_s)) for each in working for ratio in _RATIOS for fade_s in _FADES_S]
    found = [errors(*each) for each in tries]
    best = int(np.argmin([each.sum() for each in found]))
    return tries[best] if (found[best] <= _CLEARLY_BETTER * errors(lag, None)).all() else None


def _age_s(working: FloatArray, step_s: float) -> FloatArray:
    """Return how long ago the last change of the capacity was (n_steps,), half a step at its own; inf after a fall."""
    changed = np.diff(working, prepend=working[:1])
    steps = np.arange(len(working))
    last = np.maximum.accumulate(np.where(changed != 0, steps, -1))
    grew = (last >= 0) & (changed[np.maximum(last, 0)] > 0)
    return np.where(grew, (steps - last + 0.5) * step_s, np.inf)
