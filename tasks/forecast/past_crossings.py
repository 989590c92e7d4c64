"""How often a series' own past windows crossed a bound, and what that makes of a probability read off its paths.

Paths of a model are too sure of themselves: mixed with this share, as logits, they err less over every kind of series
that was measured (Ranjan & Gneiting 2010 on why a mixture must be taken beyond its parts).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
PRIOR_WINDOWS = 0.5  # half of it crossed: few windows side by side do not show how seldom a bound is crossed
CLOSEST_TO_CERTAIN = 0.005
FEWEST_OF_LATE, BY_CHANCE = 3, 0.01
"""Of windows that all crossed of late, and how seldom they would were it as rare as before: then they count alone."""


def past_share(values: Floats, bound: Floats, is_upper: bool, within: int) -> tuple[Floats, Floats]:
    """Share (n,) of the past windows of so many steps in which `values` (n, t) crossed their bound (n,).

    Only windows count that began on the right side of it; the share is NaN where there is none, and where the series
    stands beyond already. The other figure is how many windows lie side by side. Where all of the last ones crossed,
    as by chance they would not have, these count alone: what began lately is no rarer for a long calm before.
    """
    t = values.shape[1]
    if t <= within:
        return np.full(len(values), np.nan), np.zeros(len(values))
    with np.errstate(invalid="ignore"):
        beyond = values > bound[:, None] if is_upper else values < bound[:, None]
    count = np.zeros((len(values), t + 1), dtype=np.int32)
    np.cumsum(beyond, axis=1, out=count[:, 1:])
    begins = ~beyond[:, : t - within] & np.isfinite(values[:, : t - within])
    crossed = (count[:, within + 1 :] > count[:, 1 : t - within + 1]) & begins
    windows = begins.sum(axis=1)
    share = np.where(windows > 0, crossed.sum(axis=1) / np.maximum(windows, 1), np.nan)
    run = _run_of_late(count, within)
    with np.errstate(invalid="ignore"):
        is_new = (run >= FEWEST_OF_LATE) & (share**run < BY_CHANCE)
    share = np.where(is_new, 1.0, np.where(beyond[:, -1], np.nan, share))
    return share, np.where(is_new, run, windows / within)


def _run_of_late(count: NDArray[np.int32], within: int) -> NDArray[np.int64]:
    """Return how many of the last windows (n,), side by side, all crossed: began within the bound and came beyond it.

    `count` (n, t + 1) is how many steps lay beyond before each.
    """
    ends = count[:, ::-1][:, ::within]
    passed = ends[:, :-1] - ends[:, 1:]
    has_crossed = (passed > 0) & (passed < within)
    return np.asarray(np.cumprod(has_crossed, axis=1, dtype=np.int64).sum(axis=1))


def mixed(probability: Floats, past: tuple[Floats, Floats], weight: Floats) -> Floats:
    """Probabilities with so much weight on what past windows did; without any they stay as they are.

    What neither a path nor a window ever did stays at 0, and what all did at 1.
    """
    share, windows = past
    smooth = (share * windows + 0.5 * PRIOR_WINDOWS) / (windows + PRIOR_WINDOWS)
    mixed = (1 - weight) * logit(probability, CLOSEST_TO_CERTAIN) + weight * logit(smooth, CLOSEST_TO_CERTAIN)
    certain = (probability == share) & ((share == 0) | (share == 1))
    stays = certain | ~np.isfinite(share) | ~np.isfinite(probability) | (weight == 0)
    return np.where(stays, probability, 1 / (1 + np.exp(-np.where(stays, 0, mixed))))


def logit(probability: Floats, closest_to_certain: float) -> Floats:
    """Log odds of probabilities, none of which counts as surer than so."""
    bounded = np.clip(probability, closest_to_certain, 1 - closest_to_certain)
    return np.asarray(np.log(bounded / (1 - bounded)))
