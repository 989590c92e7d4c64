"""Whether past windows vouch for a forecast at all: it may foretell a return such as none of them saw."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from storage.records import FloatArray, IntArray

LEVEL_STEPS = (1, 3, 6)
"""Over how many steps the level is taken: one that is new shows in the last step alone, a small move in several."""

FURTHER_RATIO = 1.5
FEWEST_FORECASTS = 10


def is_further_than_ever(history: FloatArray, issued: IntArray, foretold: FloatArray, now: float) -> bool:
    """Tell whether a forecast lies further from where a series stands than any before it did from where it stood then.

    `history` (t,) ends at the step from which it was made, `issued` (n,) are the steps from which those before were,
    `foretold` (n,) their means over the same window and `now` its own. Then it is not known whether the series would
    have come back: no error of the past says so. False of fewer than ten.
    """
    issued, foretold = issued[np.isfinite(foretold)], foretold[np.isfinite(foretold)]
    if len(issued) < FEWEST_FORECASTS or len(history) < max(LEVEL_STEPS):
        return False
    for steps in LEVEL_STEPS:
        windows, places = sliding_window_view(history, steps), issued - (steps - 1)
        far = np.abs(np.median(windows[places[places >= 0]], axis=1) - foretold[places >= 0])
        if abs(np.median(windows[-1]) - now) > FURTHER_RATIO * np.nanmax(far, initial=0.0):
            return True
    return False
