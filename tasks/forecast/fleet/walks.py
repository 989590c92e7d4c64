"""Series that wander: what they do next starts from where they are, whatever the time of day.

In a random walk the variance of a change grows with the time it takes (the variance ratio of Lo & MacKinlay 1988 is 1);
in a series with a daily course, or one that returns to its level, that over a day is a small part of it. A regression
on seasonal features can only come near to the last value, so that for those that wander it is mixed in.
"""

from __future__ import annotations

import numpy as np

from tasks.forecast.batch import Float32s, Ints

HOURS_RATIO = (0.7, 1.4)  # of three hours: smooth courses lie above, what returns at once below
DAY_RATIO = (0.15, 0.5)  # from which on the last value counts, and from which on it alone does
PARTS_OF_DAY = 8
MOST_BEHIND = 1.15  # times the error of courses that were fitted to what they are compared with


def walk_share(values: Float32s, season: int) -> Float32s:
    """How much of its course each history (n, t) takes from its last value, from 0 to 1; `season` is a day in steps."""
    steps = (np.diff(values, axis=1) ** 2).mean(axis=1)
    of_hours, of_day = (
        ((values[:, lag:] - values[:, :-lag]) ** 2).mean(axis=1) / np.maximum(lag * steps, np.float32(1e-12))
        for lag in (max(season // PARTS_OF_DAY, 2), season)
    )
    least, whole = DAY_RATIO
    wanders = (of_hours > HOURS_RATIO[0]) & (of_hours < HOURS_RATIO[1])
    return np.where(wanders, np.clip((of_day - least) / (whole - least), 0, 1), 0).astype(np.float32)


def hold_walks(ahead: Float32s, past: Float32s, values: Float32s, truth: Float32s, origins: Ints, season: int) -> None:
    """Mix the last value, in place, into the courses ahead (n, h) and from past origins (n, o, h) of what wanders.

    Not where it missed the `truth` (n, o, h) by more than courses did that were fitted to it.
    """
    share = walk_share(values, season)
    for row in np.flatnonzero(share).tolist():
        last = values[row, origins][:, None]
        if np.abs(truth[row] - last).mean() <= MOST_BEHIND * np.abs(truth[row] - past[row]).mean():
            ahead[row] += share[row] * (values[row, -1] - ahead[row])
            past[row] += share[row] * (last - past[row])
