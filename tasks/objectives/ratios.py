"""Objectives on a ratio of two metrics: the ratio is a series of its own, derived where both are recorded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from storage.records import FloatArray, Frame, Objective, labels_of, metric_of, selects, series_key
from tasks.growth import counts_up, growth, is_named_as_counter, resets

FEW = 3
SURELY_REGULAR = 20
"""So many intervals tell how often something is measured, or that it comes as events do."""
MOST_UNLIKE = 4.0
"""Two metrics of one system are measured at steps that differ by no more than this, or it shows by being regular."""
VARIED = 0.5
"""Coefficient of variation of intervals without the longest tenth: 0.8 of events at random, 0.5 where every second
step has one, 0.2 of measurements of which 15 % are lost. The longest are left out: they may be outages."""
SILENT_FACTOR = 2.0
"""Of events as before, one in twenty intervals is longer than all before it, and hardly one twice as long."""


@dataclass(frozen=True)
class RatioPair:
    """One ratio: its own series, and the series that it is of."""

    series: str
    above: str
    below: str


def ratio_pairs(objectives: Iterable[Objective], series: Iterable[str]) -> list[RatioPair]:
    """Return every ratio that objectives name among known series.

    A denominator belongs to a numerator that has all of its labels: of several that with most of them, so errors by
    code go with the requests of the same pod. One that is named with labels of its own goes with any.
    """
    known = sorted(series)
    pairs = [
        RatioPair(series_key(metric_of(objective.measured), labels_of(above)), above, below)
        for objective in objectives
        if objective.denominator is not None
        for above in known
        if selects(objective.metric, above) and (below := _denominator(above, objective.denominator, known)) is not None
    ]
    return list({pair.series: pair for pair in pairs}.values())


def with_ratios(frame: Frame, objectives: Iterable[Objective]) -> Frame:
    """Return a frame with a row for every ratio that objectives name and both of whose series it holds.

    A ratio is unknown (NaN) where either part is, and where its denominator is zero.
    """
    rows = {
        pair.series: ratio_of(*parts_of(pair, frame))
        for pair in ratio_pairs(objectives, frame.series)
        if pair.series not in frame.series
    }
    if not rows:
        return frame
    values = np.concatenate([frame.values, np.stack(list(rows.values()))])
    return frame.model_copy(update={"series": (*frame.series, *rows), "values": values})


def parts_of(pair: RatioPair, frame: Frame) -> tuple[FloatArray, FloatArray]:
    """Return what numerator and denominator came to in each step of a frame: of counters that is by how much they grew.

    A counter that is there only from its first event on counted none before; one that was recorded later began with
    more than there can have been in a step.
    """
    above, below = frame.row(pair.above), frame.row(pair.below)
    grown = growth(below, resets(below)) if counts_up(pair.below, below) else below
    # One that stands still beside a counter that counts had no event yet.
    stands_still = grown is not below and is_named_as_counter(pair.above) and not resets(above).any()
    if not (stands_still or counts_up(pair.above, above)):
        return above, grown
    first = int(np.argmax(np.isfinite(above)))
    counted = growth(above, resets(above))
    if first and above[first] <= grown[first]:
        counted[:first] = np.where(np.isfinite(grown[:first]), 0.0, np.nan)
        counted[first] = above[first]
    return counted, grown


def ratio_of(above: FloatArray, below: FloatArray) -> FloatArray:
    """Return above / below, NaN where one is missing or the denominator is zero."""
    quotient: FloatArray = above / np.where(below == 0, np.nan, below)
    return quotient


def with_zeros(above: FloatArray, below: FloatArray) -> FloatArray:
    """Return the numerator with 0 where nothing happened: it is missing where the denominator is there.

    Both (n_steps,) at the denominator's step, NaN where missing. All stays unknown of a numerator that is not only
    there when something happens, and what lies further from its samples than it was ever silent: whoever records it
    may have died.
    """
    if not is_only_there_when_it_happens(above, below):
        return above
    silences, lead, since, until = _silences(above, below)
    most = SILENT_FACTOR * float(silences.max()) if len(silences) >= SURELY_REGULAR - 1 else max((lead, *silences))
    nearest = np.minimum(np.where(since < 0, np.inf, since), np.where(until < 0, np.inf, until))
    is_inside = (since >= 0) & (until >= 0)
    return np.where(np.isnan(above) & np.isfinite(below) & (is_inside | (nearest <= most)), 0.0, above)


def is_only_there_when_it_happens(above: FloatArray, below: FloatArray) -> bool:
    """Tell whether a numerator is recorded only when something happens, as a count of errors often is.

    Both (n_steps,) at the denominator's step, NaN where missing. Such a count is never zero and comes at odd moments;
    what is measured at a step of its own comes regularly, also where some of it is lost, and one that ends is missing
    from there on. Of few samples it is told by what came before: long silence beside a denominator that was there.
    """
    seen = np.flatnonzero(np.isfinite(above))
    if len(seen) == 0 or bool((above[seen] == 0).any()):
        return False
    silences, lead, _, _ = _silences(above, below)
    if len(seen) >= SURELY_REGULAR:
        return _is_varied(silences)
    usual = float(np.median(silences)) if len(silences) else 1.0
    if len(seen) >= FEW and usual <= MOST_UNLIKE:
        return False
    return lead >= SURELY_REGULAR * usual or _is_varied(silences)


def _is_varied(silences: FloatArray) -> bool:
    kept = np.sort(silences)[: -max(1, len(silences) // 10)]
    return len(kept) >= FEW - 1 and float(kept.std()) >= VARIED * float(kept.mean())


def _silences(above: FloatArray, below: FloatArray) -> tuple[FloatArray, float, FloatArray, FloatArray]:
    """Return the intervals between samples and before the first, and of each step how long since and until a sample.

    All in steps that the denominator has; -1 where there is no sample before, or after.
    """
    seen = np.flatnonzero(np.isfinite(above))
    clock = np.cumsum(np.isfinite(below)).astype(float)
    steps = np.arange(len(above))
    before, after = np.searchsorted(seen, steps, side="right") - 1, np.searchsorted(seen, steps)
    since = np.where(before >= 0, clock - clock[seen[before]], -1.0)
    until = np.where(after < len(seen), clock[seen[np.minimum(after, len(seen) - 1)]] - clock, -1.0)
    return np.diff(clock[seen]), float(clock[seen[0]] - 1), since, until


def usual_gap_s(row: FloatArray, step_s: float) -> float:
    """Return the usual time between the samples of a row (n_steps,), NaN where missing; one step of fewer than two."""
    return _usual_gap(row) * step_s


def _usual_gap(row: FloatArray) -> float:
    gaps = np.diff(np.flatnonzero(np.isfinite(row)))
    # Outages aside: samples every 15 s lie one or two steps of 10 s apart.
    return float(gaps[gaps <= 1.5 * np.median(gaps) + 1].mean()) if len(gaps) else 1.0


def _denominator(above: str, selector: str, known: Iterable[str]) -> str | None:
    labels = labels_of(above)
    meant = [each for each in known if selects(selector, each)]
    fitting = [each for each in meant if labels_of(each).items() <= labels.items()]
    if fitting:
        return max(fitting, key=lambda each: len(labels_of(each)))
    return meant[0] if len(meant) == 1 and "{" in selector else None
