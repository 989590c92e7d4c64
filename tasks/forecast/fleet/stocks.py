"""Stocks: what fills up step by step and is emptied now and then, as a disk, a quota or memory that leaks.

A stock that was emptied stays on its new level and fills on from there. Who forecasts it by the time of day takes an
hour at which somebody once made room for one at which it always empties, and the level before for the usual one. So the
fall is taken out: what was before is moved to the level after it, and the filling alone is left to be forecast. What
emptied itself more than once does so again: at levels like those at which it did, and to levels like those it fell to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from storage.records import Frame
from tasks.forecast.batch import Bools, Floats, Ints
from tasks.forecast.fleet.prepare import PLAUSIBLE_MAGNITUDE
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
"""From which share of the days with a fall on it is the day that empties a stock, where their times are alike."""

ALIKE_TIMES = 0.7
"""Mean resultant length of the times of day of falls (1: all the same) from which they come by the clock."""

REGULAR_RATIO = 0.1
"""Falls a number of whole days apart, but for this share of a day, come by a clock."""

FEWEST_TO_RECUR = 2
"""Falls. One alone was somebody who made room: nobody knows whether that happens again."""

ALIKE_LEVELS = 0.15
"""Spread of the levels at which it fell, in usual falls, below which it is the level that empties a stock."""

MOST_FALLS_AHEAD = 50


@dataclass(frozen=True)
class Stock:
    """A series that fills and was emptied: by how much at each step after the first (t − 1,), 0 elsewhere.

    `triggers` are the levels at which it emptied itself so far, `emptied_to` those it fell to, in the order of time.
    """

    row: int
    fallen: Floats
    triggers: Floats
    emptied_to: Floats

    @property
    def recurs(self) -> bool:
        """Whether it empties itself again as it did, as far as is known."""
        return len(self.triggers) >= FEWEST_TO_RECUR

    def told(self) -> str:
        """Return in words what is expected of it."""
        when = "when it is about as full as then" if self._falls_when_full else "now and then, at no fixed time"
        return f"it was emptied {len(self.triggers)} times: the forecast lets that happen again {when}"

    @property
    def _falls_when_full(self) -> bool:
        """Whether it is the level that empties it: those at which it fell are alike."""
        depth = float(np.mean(self.triggers - self.emptied_to))
        return len(self.triggers) > FEWEST_TO_RECUR and float(np.std(self.triggers)) < ALIKE_LEVELS * depth

    def emptied_ahead(self, paths: Floats, rng: np.random.Generator) -> Floats:
        """Return sample paths (s, h) of its filling with falls in them.

        A stock that falls when it is full does so at levels drawn from the past ones; another at any time, at its usual
        rate.
        """
        emptied, horizon, lowest = paths.copy(), paths.shape[1], float(self.emptied_to.min())
        usual_steps = (len(self.fallen) + 1) / len(self.triggers)
        for path in emptied:
            step = 0
            for _ in range(MOST_FALLS_AHEAD):
                if self._falls_when_full:
                    reached = np.flatnonzero(path[step:] >= rng.choice(self.triggers))
                    step += int(reached[0]) + 1 if len(reached) else horizon
                else:
                    step += int(rng.exponential(usual_steps))
                if step >= horizon:
                    break
                fallen = path[step:] - max(0.0, float(path[step] - rng.choice(self.emptied_to)))
                path[step:] = np.maximum(fallen, lowest)
        return emptied


def find_stocks(values: Floats, season: int, acted: Bools | None = None) -> list[Stock]:
    """Return the stocks among histories (n, t), NaN where missing, that were emptied, in the order of rows.

    `season` is a day in steps. `acted` (n, t) marks the steps in which an act may have emptied a series: its falls
    count however often they come. Others do where it is not the clock that brings them.
    """
    if season <= 1 or values.shape[1] < FEWEST_DAYS * season:
        return []
    stocks, filling = [], np.flatnonzero(_seldom_fall(values, season))
    # A series with a wild value is none.
    for row in filling[~(np.abs(values[filling]) > PLAUSIBLE_MAGNITUDE).any(axis=1)].tolist():
        by_act = np.zeros(values.shape[1] - 1, dtype=np.bool_) if acted is None else acted[row, 1:]
        fallen = _fallen(values[row], season, by_act)
        if fallen.any():
            level, falls = _carried_on(values[row]), np.flatnonzero((fallen != 0) & ~by_act)
            stocks.append(Stock(row, fallen, level[falls], level[falls + 1]))
    return stocks


def filled_on(values: Floats, stocks: Sequence[Stock]) -> Floats:
    """Return histories (n, t) with what was before a fall of a stock moved to the level after it."""
    if not stocks:
        return values
    moved = values.copy()
    for stock in stocks:
        moved[stock.row, :-1] += np.cumsum(stock.fallen[::-1])[::-1]
    return moved


def without_falls(values: Floats, season: int, acted: Bools | None = None) -> Floats:
    """Return histories (n, t) with the falls of stocks taken out, as `find_stocks` finds them."""
    return filled_on(values, find_stocks(values, season, acted))


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
    if _come_by_clock(np.flatnonzero(is_fall & ~by_act), len(change), season):
        is_fall &= by_act
    return np.where(is_fall, change - usual, 0.0)


def _carried_on(values: Floats) -> Floats:
    """Return values (t,) with gaps filled by what was seen last; NaN before the first."""
    seen = np.isfinite(values)
    last = np.maximum.accumulate(np.where(seen, np.arange(len(values)), -1))
    return np.where(last >= 0, values[np.maximum(last, 0)], np.nan)


def _come_by_clock(falls: Ints, steps: int, season: int) -> bool:
    """Tell whether falls at ascending steps come nearly every day at like times, or a number of whole days apart."""
    if len(falls) > 1 and len(np.unique((steps - 1 - falls) // season)) > MOST_DAYS * steps / season:
        times = np.exp(2j * np.pi * (falls % season) / season)
        return bool(np.abs(times.mean()) >= ALIKE_TIMES)
    apart = np.diff(falls)
    days = apart[apart > season / HOURS] / season
    return len(days) > 2 and bool((np.abs(days - np.round(days)) < REGULAR_RATIO).all() and (days > 0.5).all())
