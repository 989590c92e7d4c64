"""Where the level of a series breaks: the cheapest cut into constant stretches, for many series at once."""

from __future__ import annotations

import numpy as np

from tasks.patterns.inputs import Floats


def segment_ends(points: Floats, penalties: Floats, min_size: int) -> list[list[int]]:
    """Return for each row of `points` (n_series, n_points) the ends of the stretches whose means explain it best.

    The sum of squares around the means, with the row's penalty for each stretch, is as small as it can be for
    stretches of at least `min_size` points; the last end is `n_points`. Optimal partitioning (Jackson et al., An
    algorithm for optimal partitioning of data on an interval, IEEE Signal Processing Letters 12, 2005) over sums that
    run along, all series in step: what a stretch costs is then a few operations, and nothing is left to be pruned.
    """
    n_series, n_points = points.shape
    sums = np.zeros((n_points + 1, n_series))
    # The sum of all squares is the same however a row is cut, so it is left out.
    np.cumsum((points - points.mean(axis=1, keepdims=True)).T, axis=0, out=sums[1:])
    cost = np.full((n_points + 1, n_series), np.inf)
    cost[0] = 0.0
    for end in range(min_size, n_points + 1):
        cost[end] = _costs(sums, cost, end, min_size).min(axis=0) + penalties
    return [_traced(sums[:, [row]], cost[:, [row]], min_size) for row in range(n_series)]


def _costs(sums: Floats, cost: Floats, end: int, min_size: int) -> Floats:
    """Return what the points before `end` cost, by where the last stretch begins."""
    starts = end - min_size + 1
    stretch: Floats = sums[end] - sums[:starts]
    stretch *= stretch
    stretch *= 1.0 / np.arange(end, min_size - 1, -1, dtype=float)[:, None]
    np.subtract(cost[:starts], stretch, out=stretch)
    return stretch


def _traced(sums: Floats, cost: Floats, min_size: int) -> list[int]:
    ends = [len(sums) - 1]
    while (start := int(_costs(sums, cost, ends[-1], min_size)[:, 0].argmin())) > 0:
        ends.append(start)
    return ends[::-1]
