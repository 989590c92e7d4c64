"""What placebos say of the measurement: false alarms, coverage, and what intervals must be widened by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np

from storage.records import FloatArray

FEWEST_TO_WIDEN = 50
MOST_WIDENING = 3.0
LEAST_WIDENING = 0.5
MOST_ERRORS = 3.0
"""An estimate that far off, in standard errors, counts as that far: one incident is not what all have in common."""


def widening(reaches: FloatArray, confidence: float = 0.90, least: float = 1.0) -> float:
    """Return how many times as wide intervals must be so that they hold zero as often as they say.

    `reaches` (n,) are |estimate| over half the width of its interval: an interval holds zero up to 1. It is their
    quantile, at least `least`, for a luckier past is no reason to be bolder; 1 where there are too few to tell.
    """
    known = reaches[np.isfinite(reaches)]
    if len(known) < FEWEST_TO_WIDEN:
        return 1.0
    return float(np.clip(np.quantile(known, confidence), least, MOST_WIDENING))


def fan_widening(what_ifs: Sequence[Mapping[str, Any]]) -> float:
    """Return how many times as wide the fans with acts must be so that past ones had held as often as they say.

    Each of `what_ifs` keeps its `reach`: how far what came lay from the middle, over half the band, step by step. Under
    1 where past fans were too wide, as those of acts of which little was known.
    """
    reaches = np.array([reach for each in what_ifs for reach in each.get("reach", ())], dtype=np.float64)
    return widening(reaches, least=LEAST_WIDENING)


def shared_ratio(effects: Sequence[FloatArray]) -> float:
    """Return the standard deviation of what all outcomes on one metric are off by alike, over their standard error.

    `effects` are, for each metric, the estimates of its placebos over their standard errors (n,). It is the variance of
    the metrics' means beyond what the scatter within a metric explains (DerSimonian and Laird 1986).
    """
    several = [np.clip(each[np.isfinite(each)], -MOST_ERRORS, MOST_ERRORS) for each in effects]
    several = [each for each in several if len(each) >= 2]
    if not several:
        return 0.0
    excess = [float(np.mean(each)) ** 2 - float(np.var(each, ddof=1)) / len(each) for each in several]
    return sqrt(max(0.0, float(np.mean(excess))))
