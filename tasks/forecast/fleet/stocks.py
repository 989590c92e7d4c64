"""Stocks: what fills up step by step and is emptied now and then, as a disk, a quota or memory that leaks.

A stock that was emptied stays on its new level and fills on from there. Who forecasts it by the time of day takes an
hour at which somebody once made room for one at which it always empties, and the level before for the usual one. So the
fall is taken out: what was before is moved to the level after it, and the filling alone is left to be forecast.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storage.records import Frame
from tasks.forecast.batch import Bools, Floats
from tasks.forecast.fleet.prepare import PLAUSIBLE_MAGNITUDE, Ints
from tasks.interventions.overlaps import Act, acted_in

LARGE_RISES = 8.0
"""From how many usual rises on a step down empties the stock."""

MOST_DRIPPED = 0.1
"""How much of what came in may go out again in small steps down."""

MOST_FALLING, HOURS = 0.1, 24
"""In which share of the hours of a day a stock falls at most."""

FEWEST_RISES = 0.5
"""From which share of the hours to the next a stock rises at least."""

FEWEST_DAYS = 2.0
MOST_DAYS = 0.8
"""On which share of the days falls may come at most: what empties itself every day goes on to do so."""

REGULAR_RATIO = 0.1
"""Falls whose distances differ by less than this share come by a clock."""


def without_falls(values: Floats, season: int, acted: Bools | None = None) -> Floats:
    """Return histories (n, t), NaN where missing, with what was before a fall of a stock moved to the level after it.

    `season` is a day in steps. `acted` (n, t) marks the steps in which an act may have emptied a series: its falls are
    taken out however often they come. Others are where they neither come day by day nor at like distances: then
    somebody made room, and nobody knows whether and when that happens again. Series that are no stocks are handed back
    as they are.
    """
    if season <= 1 or values.shape[1] < FEWEST_DAYS * season:
        return values
    moved = None
    # A series with a wild value is none.
    for row in np.flatnonzero(
        _seldom_fall(values, season) & ~(np.abs(values) > PLAUSIBLE_MAGNITUDE).any(axis=1)
    ).tolist():
        by_act = np.zeros(values.shape[1] - 1, dtype=np.bool_) if acted is None else acted[row, 1:]
        fallen = _fallen(values[row], season, by_act)
        if fallen.any():
            moved = values.copy() if moved is None else moved
            moved[row, :-1] += np.cumsum(fallen[::-1])[::-1]
    return values if moved is None else moved


def emptied_by(frame: Frame, acts: Sequence[Act]) -> Frame:
    """Return a frame in whose stocks what was before an act that emptied them lies on the level after it."""
    aimed = {act.series for act in acts}
    rows = [row for row, series in enumerate(frame.series) if series in aimed]
    if not rows:
        return frame
    acted = np.stack([acted_in(frame, acts, frame.series[row], "") for row in rows])
    values = frame.values.copy()
    values[rows] = without_falls(frame.values[rows], frame.season_lengths[0], acted)
    return frame.model_copy(update={"values": values})


def _seldom_fall(values: Floats, season: int) -> Bools:
    """Tell at a glance which rows (n,) may be stocks: those that rise from most hours to the next and seldom fall."""
    hourly = values[:, :: max(1, season // HOURS)]
    rises, falls = hourly[:, 1:] > hourly[:, :-1], hourly[:, 1:] < hourly[:, :-1]
    seen = np.maximum(np.isfinite(hourly[:, 1:]).sum(axis=1), 1)
    is_filling = rises.sum(axis=1) >= FEWEST_RISES * seen
    return np.asarray(is_filling & (falls.sum(axis=1) <= MOST_FALLING * seen))


def _fallen(values: Floats, season: int, by_act: Bools) -> Floats:
    """Return by how much one history (t,) fell at each step after the first, beside its usual rise; 0 elsewhere."""
    change = np.diff(_carried_on(values))
    rises = change > 0
    usual = float(change[rises].mean()) if rises.any() else 0.0
    is_fall = change < -LARGE_RISES * usual
    dripped = -float(change[(change < 0) & ~is_fall].sum())
    if not usual > 0 or dripped > MOST_DRIPPED * float(change[rises].sum()):
        return np.zeros_like(change)
    if _come_by_themselves(np.flatnonzero(is_fall & ~by_act), len(change), season):
        is_fall &= by_act
    return np.where(is_fall, change - usual, 0.0)


def _carried_on(values: Floats) -> Floats:
    """Return values (t,) with gaps filled by what was seen last; NaN before the first."""
    seen = np.isfinite(values)
    last = np.maximum.accumulate(np.where(seen, np.arange(len(values)), -1))
    return np.where(last >= 0, values[np.maximum(last, 0)], np.nan)


def _come_by_themselves(falls: Ints, steps: int, season: int) -> bool:
    """Tell whether falls at ascending steps come nearly every day, or at distances that are alike."""
    if len(np.unique((steps - 1 - falls) // season)) > MOST_DAYS * steps / season:
        return True
    apart = np.diff(falls)
    apart = apart[apart > season / 24]
    return len(apart) > 2 and bool(np.std(apart) < REGULAR_RATIO * np.mean(apart))
