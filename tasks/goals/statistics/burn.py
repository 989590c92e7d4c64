"""How fast an error budget burns, over pairs of windows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from storage.records import Objective
from tasks.goals.evidence import Evidence, WindowCount
from tasks.special import betainc

_MONTH_S = 30 * 86_400.0
_SHORTEST_S = 60.0
_TIERS = ((3_600.0, 300.0, 14.4), (21_600.0, 1_800.0, 6.0), (259_200.0, 21_600.0, 1.0))
_SAME_RATIO = 1.5
_MIN_BAD = 2.0


@dataclass(frozen=True)
class BurnWindows:
    """A long window that shows that it matters, a short one that shows that it lasts, and the burn rate for both."""

    long_s: float
    short_s: float
    factor: float


@dataclass(frozen=True)
class Burn:
    """Burn rates over one pair of windows; `probability` is that of the long window's true rate being over it."""

    windows: BurnWindows
    long_rate: float
    short_rate: float
    probability: float
    counts: WindowCount

    @property
    def fires(self) -> bool:
        """Tell whether both windows burn faster than the pair allows."""
        return self.long_rate >= self.windows.factor and self.short_rate >= self.windows.factor


def burn_windows(objective: Objective) -> tuple[BurnWindows, ...]:
    """Return the window pairs of an SLO: those of the Google SRE workbook, scaled from 30 days to its own window.

    https://sre.google/workbook/alerting-on-slos/ (multiwindow, multi-burn-rate alerts). No short window is under a
    minute, no long one under twelve.
    """
    scale = objective.window_s / _MONTH_S
    return tuple(
        BurnWindows(max(12 * _SHORTEST_S, long_s * scale), max(_SHORTEST_S, short_s * scale), factor)
        for long_s, short_s, factor in _TIERS
    )


def burns_of(evidence: Evidence, objective: Objective, series: str | None) -> tuple[Burn, ...]:
    """Return the burn over each pair of windows that has counts, fastest tier first."""
    burns = [_burn(evidence, objective, series, windows) for windows in burn_windows(objective)]
    return tuple(burn for burn in burns if burn is not None)


def budget_left_ratio(evidence: Evidence, objective: Objective, series: str | None) -> float | None:
    """Return the share of the error budget left over the SLO's own window, negative when overdrawn; None if unknown."""
    counts = count_in(evidence, objective, series, objective.window_s)
    return None if counts is None else 1.0 - _rate(counts, objective)


def count_in(evidence: Evidence, objective: Objective, series: str | None, window_s: float) -> WindowCount | None:
    """Return good and total events of a window: as counted beforehand, else each recorded value is an event."""
    counted = [each for each in evidence.slo_windows.get(objective.name, ()) if each.total > 0]
    nearest = min(counted, key=lambda each: abs(math.log(each.window_s / window_s)), default=None)
    if nearest and 1 / _SAME_RATIO <= nearest.window_s / window_s <= _SAME_RATIO:
        return nearest
    window = evidence.window(series, window_s) if series and objective.denominator is None else None
    if window is None or len(window.finite) == 0:
        return None
    good = sum(objective.goodness(float(value)) for value in window.finite)
    return WindowCount(window_s, good, float(len(window.finite)))


def _has_traffic(counts: WindowCount, objective: Objective) -> bool:
    """Tell whether there were so many requests that the budget allows a bad one: of fewer, one says nothing."""
    # 1e-9: a target of .99 allows exactly one of a hundred, which floating point makes a little less.
    return counts.requests is None or counts.requests * (1.0 - objective.target_ratio) >= 1.0 - 1e-9


def _burn(evidence: Evidence, objective: Objective, series: str | None, windows: BurnWindows) -> Burn | None:
    long = count_in(evidence, objective, series, windows.long_s)
    short = count_in(evidence, objective, series, windows.short_s)
    if long is None or short is None or not _has_traffic(long, objective):
        return None
    return Burn(
        windows=windows,
        long_rate=_rate(long, objective),
        short_rate=_rate(short, objective),
        probability=_probability(long, objective, windows.factor),
        counts=long,
    )


def _rate(counts: WindowCount, objective: Objective) -> float:
    return (1.0 - counts.good / counts.total) / (1.0 - objective.target_ratio)


def _probability(counts: WindowCount, objective: Objective, factor: float) -> float:
    """Return the chance that the true error ratio exceeds what the burn rate allows (Beta posterior, Jeffreys' prior).

    One failure is an accident: below two the chance is 0.
    """
    bad = counts.total - counts.good
    allowed = float(np.clip(factor * (1.0 - objective.target_ratio), 0.0, 1.0))
    if bad < _MIN_BAD or allowed >= 1.0:
        return 0.0
    return 1.0 - betainc(bad + 0.5, counts.good + 0.5, allowed)
