"""A verdict before the window is over, sound however often is looked: its bounds hold at all looks together.

The looks are fixed with the window. How far an estimate must be off at each follows from how the errors of past windows
go together from look to look; the bounds are those of Wang and Tsiatis (1987, doi:10.2307/2531959), between Pocock's
and O'Brien and Fleming's, for Student's t in the place of the normal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from storage.records import FloatArray, Verdict
from tasks.measure.inference.effect import FEWEST_WINDOWS, Better
from tasks.measure.inference.past_errors import SHORTEST_WINDOW_STEPS, ErrorLedger
from tasks.measure.inference.placebo_windows import (
    LEAST_KNOWN_RATIO,
    PlaceboWindows,
    compare_windows,
    placebos,
    standard_error,
)

LOOKS = 8
EARLY_POWER = 0.25
"""How much farther an estimate must be off the earlier it is: (window / steps seen) to that power."""
DRAWS = 4_000
LEAST_APART = 0.02
"""Of a correlation of two looks so much is taken off: with few windows it is known no better."""


@dataclass(frozen=True)
class EarlyVerdict:
    """What is clear after so many `steps` of a window: the metric's change, its interval good at every look."""

    verdict: Verdict
    steps: int
    estimate: float
    low: float
    high: float


def looks_of(steps: int) -> list[int]:
    """Return after how many steps of a window of `steps` is looked: closer together at its beginning."""
    return sorted({round(each) for each in np.geomspace(min(SHORTEST_WINDOW_STEPS, steps), steps, LOOKS)})


def early_verdict(
    observed: FloatArray,
    forecast: FloatArray,
    ledger: ErrorLedger,
    steps: int,
    *,
    better: Better,
    relevant: float,
    alpha: float = 0.05,
) -> EarlyVerdict | None:
    """Return the first verdict that was clear at a look before the end of a window; None where none was.

    `observed` (h,) is NaN where nothing was seen (yet), `forecast` (h,) and `ledger` are as for `measure_effect`, over
    at least `steps`. An effect is clear where zero is ruled out, none where a change of `relevant` is, in the metric's
    unit. Over all looks together at most a share of `alpha` of acts that change nothing get a verdict of an effect.
    """
    looks = looks_of(steps)
    windows = [_window_at(observed, forecast, ledger, look) for look in looks]
    if any(each.count < FEWEST_WINDOWS or each.is_resting for each in windows):
        return None
    nothing = [placebos(each, ledger) for each in windows]
    errors = np.array([standard_error(*each) for each in zip(windows, nothing, strict=True)])
    if not (errors > 0).all():
        return None
    limits = bounds_of(
        np.stack([each.past for each in windows], axis=1), windows[-1].independent_count - 1, looks, alpha
    )
    for place, look in enumerate(looks[:-1]):
        if np.isfinite(observed[:look]).mean() < LEAST_KNOWN_RATIO or not np.isfinite(observed[look - 1]):
            continue
        estimate = (windows[place].current - nothing[place].centre) * windows[place].unit
        half = float(limits[place] * errors[place])
        verdict = _verdict(estimate, half, better, relevant)
        if verdict is not None:
            return EarlyVerdict(verdict, look, estimate, estimate - half, estimate + half)
    return None


def bounds_of(past: FloatArray, freedom: float, looks: list[int], alpha: float) -> FloatArray:
    """Return how many standard errors an estimate must be off at each look (n_looks,), for `alpha` over all of them.

    `past` (n_windows, n_looks) are the mean errors of past windows up to each look.
    """
    whole = past[np.isfinite(past).all(axis=1)]
    alike = (1 - LEAST_APART) * np.corrcoef(whole.T) + LEAST_APART * np.eye(len(looks)) if len(looks) > 1 else np.eye(1)
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((DRAWS, len(looks))) @ np.linalg.cholesky(alike).T
    drawn /= np.sqrt(rng.chisquare(freedom, (DRAWS, 1)) / freedom)
    shape = (looks[-1] / np.array(looks)) ** EARLY_POWER
    least = float(stdtrit(freedom, 1 - alpha / 2))
    return np.asarray(max(least, float(np.quantile(np.abs(drawn / shape).max(axis=1), 1 - alpha))) * shape)


def _window_at(observed: FloatArray, forecast: FloatArray, ledger: ErrorLedger, look: int) -> PlaceboWindows:
    """Compare the first steps of a window; what is not seen yet counts as foretold: then only the past is asked."""
    seen = np.flatnonzero(np.isfinite(observed))
    is_ahead = np.arange(len(observed)) > (seen[-1] if len(seen) else -1)
    return compare_windows(np.where(is_ahead, forecast, observed), forecast, ledger, look)


def _verdict(estimate: float, half: float, better: Better, relevant: float) -> Verdict | None:
    if abs(estimate) > half:
        return Verdict.IMPROVED if (estimate < 0) == (better == "lower") else Verdict.WORSE
    return Verdict.NO_EFFECT if abs(estimate) + half < relevant else None
