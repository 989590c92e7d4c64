"""How much of the time a series spends beyond a bound, in a window and lately."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from storage.records import Objective
from tasks.goals.evidence import Evidence, ObservedWindow
from tasks.goals.statistics.measures import effective_size, share_probability, toward

_MIN_VALUES = 30
_RECENT_RATIO = 1 / 12
_MIN_RECENT_VALUES = 5


@dataclass(frozen=True)
class Tail:
    """The share of a window beyond a bound, and how surely it is more than allowed.

    `probability` is about the whole window, `recent_probability` about its last twelfth: an old incident alone is no
    reason to act. `percentile` is the value that the allowed share lies beyond.
    """

    beyond_ratio: float
    allowed_ratio: float
    percentile: float
    recent_percentile: float
    probability: float
    recent_probability: float
    n_values: int
    span_s: float

    @property
    def both(self) -> float:
        """Return how surely both the window and its end are beyond what is allowed."""
        return min(self.probability, self.recent_probability)


def tail_of(evidence: Evidence, objective: Objective, series: str, allowed_ratio: float) -> Tail | None:
    """Return the share of an objective's window beyond its bound; None with under 30 values or a 24th of the window.

    An hour is enough of any window. A window shorter than 30 steps needs all but a fifth of them, five at least.
    """
    window = evidence.window(series, objective.window_s)
    if window is None:
        return None
    enough = max(_MIN_RECENT_VALUES, min(_MIN_VALUES, 0.8 * objective.window_s / window.step_s))
    if len(window.finite) < enough:
        return None
    if window.span_s < min(objective.window_s / 24, 3_600.0) * 0.9:
        return None
    recent = _recent(window, objective.window_s * _RECENT_RATIO)
    values, lately = window.finite, recent.finite
    level = 1 - allowed_ratio if objective.side == "below" else allowed_ratio
    return Tail(
        beyond_ratio=_beyond(values, objective),
        allowed_ratio=allowed_ratio,
        percentile=float(np.quantile(values, level)),
        recent_percentile=float(np.quantile(lately, level)),
        probability=_probability(values, objective, allowed_ratio),
        recent_probability=_probability(lately, objective, allowed_ratio),
        n_values=len(values),
        span_s=window.span_s,
    )


def _recent(window: ObservedWindow, span_s: float) -> ObservedWindow:
    recent = window.tail(span_s)
    if len(recent.finite) >= _MIN_RECENT_VALUES:
        return recent
    position = np.flatnonzero(np.isfinite(window.values))[-_MIN_RECENT_VALUES]
    return ObservedWindow(window.values[position:], window.step_s, window.end)


def _beyond(values: np.ndarray, objective: Objective) -> float:
    return float((toward(values, objective.bound, objective.side) > 0).mean())


def _probability(values: np.ndarray, objective: Objective, allowed_ratio: float) -> float:
    """Return the chance of too large a share; none where no more was seen beyond the bound than is allowed.

    Few independent observations leave the prior in charge, which is no reason to act.
    """
    beyond_ratio = _beyond(values, objective)
    if beyond_ratio <= allowed_ratio:
        return 0.0
    return share_probability(beyond_ratio, effective_size(values), allowed_ratio)
