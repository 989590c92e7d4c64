"""How far each series moved at each moment, in units of how far it moves on other days."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storage.records import FloatArray

Moments = NDArray[np.bool_]

FEWEST_MOMENTS = 30
_RARE = 0.99
# A series that never moved at all is judged against a thousandth of its level: that it moves is news.
_LEAST_MOVE = 1e-3


@dataclass(frozen=True)
class Spans:
    """How many steps before a moment, and from it on, are compared.

    The step right before a moment is left out: what begins within it is half old, half new.
    """

    before: int
    after: int

    @property
    def peak(self) -> int:
        """Return over how many steps the height after a moment is taken: over half of them, so that a spike counts."""
        return (self.after + 1) // 2


@dataclass(frozen=True)
class Moves:
    """How far series moved at every moment, (series, moments); NaN where too little was recorded to tell.

    `change` and `level` (what it was before) are in the unit of the series, `loudness` is the change by what is rare
    for the series: ±1 is passed at one moment of a hundred.
    """

    change: FloatArray
    level: FloatArray
    loudness: FloatArray


def moves_of(values: FloatArray, spans: Spans, quiet: Moments) -> Moves:
    """Return how far series moved at every step; what is rare for each is learned at the `quiet` ones, (steps,).

    `values` is (series, steps), oldest first, NaN where nothing was recorded. A series with fewer than thirty moments
    to learn from is told nothing of.
    """
    n_steps = values.shape[1]
    level = np.full(values.shape, np.nan)
    change = np.full(values.shape, np.nan)
    before = _means(values, spans.before)
    peaks = _means(values, spans.peak)
    first, last = spans.before + 1, n_steps - spans.after
    if last < first:
        return Moves(change, level, change.copy())
    moments = np.arange(first, last + 1)
    level[:, moments] = before[:, moments - 1 - spans.before]
    for offset in range(spans.after - spans.peak + 1):
        move = peaks[:, moments + offset] - level[:, moments]
        is_further = ~(np.abs(move) <= np.abs(change[:, moments]))
        change[:, moments] = np.where(is_further & np.isfinite(move), move, change[:, moments])
    return Moves(change, level, change / _rare_move(change, level, quiet))


def _rare_move(change: FloatArray, level: FloatArray, quiet: Moments) -> FloatArray:
    """Return how far each series moves at one moment of a hundred, at each moment; NaN where that cannot be told.

    Where it stands beyond all that was seen of it, nothing is known of how it moves there: as far as it is outside.
    """
    sizes = np.abs(change[:, quiet])
    rare = np.full(change.shape, np.nan)
    told = np.isfinite(sizes).sum(axis=1) >= FEWEST_MOMENTS
    if told.any():
        seen, here = level[told][:, quiet], level[told]
        lowest, median, highest = np.nanquantile(seen, (0.0, 0.5, 1.0), axis=1)[:, :, None]
        outside = np.maximum(0.0, np.maximum(lowest - here, here - highest))
        # A hair, so that nothing is divided by 0 where a series was 0 all along.
        least = np.maximum(_LEAST_MOVE * np.abs(median), 1e-9)
        usual = np.nanquantile(sizes[told], _RARE, axis=1)[:, None]
        rare[told] = np.maximum(np.maximum(usual, least), outside)
    return rare


def _means(values: FloatArray, width: int) -> FloatArray:
    """Return the mean of what was recorded in the `width` steps from each one on, NaN where nothing was."""
    is_seen = np.isfinite(values)
    sums = np.cumsum(np.pad(np.where(is_seen, values, 0.0), ((0, 0), (1, 0))), axis=1)
    counts = np.cumsum(np.pad(is_seen, ((0, 0), (1, 0))), axis=1)
    total, seen = sums[:, width:] - sums[:, :-width], counts[:, width:] - counts[:, :-width]
    means: FloatArray = np.divide(total, seen, out=np.full(total.shape, np.nan), where=seen > 0)
    return means
