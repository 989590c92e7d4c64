"""Whether the world still is what was learned of it: sequential tests with few false alarms however long they run.

Each look turns into a bet whose mean is at most 1 while nothing changed. Summed up as by Shiryaev and Roberts, with
`(evidence + 1) * bet`, evidence reaches a limit once in that many looks on average, not more often, whatever the
figures are distributed like (Shin, Ramdas, Rinaldo: E-detectors, 2023).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import hypot, isfinite

import numpy as np

from storage.records import FloatArray
from tasks.special import stdtr

MISS_LIMIT = 2_000.0
"""Evidence for one metric: a false alarm in 2,000 hours."""
HARM_LIMIT = 50.0
"""Evidence for one action: a false alarm in 50 acts that change nothing, in far more where they help."""
DOUBT_LIMIT = 10.0
"""Evidence for one action at which its last acts are measured before the next: by chance once in 10 acts."""
GROWN_RATIO = 1.2
"""How much larger misses may become before that counts."""
FEWEST_LOOKS, MOST_LOOKS = 24, 100
WORST_MISS = 10.0
MEANT_MISS = 0.8
"""Values that lie so far off, on average over an hour, are within the interval, however close they lay before."""
CHANCE_HARM, FEARED_HARM = 0.02, 0.5
"""How often an act that harms nothing is found to do harm, and how often one in a changed world."""
OWN_SPREAD_SD = 0.3
"""By how much effects of one action differ anyway, in sd of the metric."""
MOST_FREEDOM = 8
FEWEST_SERIES = 4
MADE_ANEW_SHARE = 0.5


def miss(observed: FloatArray, point: FloatArray, half_width: FloatArray) -> float:
    """Return how far values (n_steps,) lay from what was foretold, in half-widths of the interval; NaN of nothing.

    One that lies farther than ten half-widths counts as ten.
    """
    away = np.abs(observed - point)
    with np.errstate(divide="ignore", invalid="ignore"):
        units = np.where(away == 0, 0.0, np.minimum(away / half_width, WORST_MISS))
    seen = units[np.isfinite(units)]
    return float(seen.mean()) if len(seen) else float("nan")


def after_look(evidence: float, miss_now: float, before: Sequence[float]) -> float:
    """Return the evidence after one more look that misses have grown by more than a fifth; 0 before a day of looks.

    The bet goes by the rank of the miss among those before it, each grown by a fifth: of looks that could as well have
    come in any other order a share `p` at most ranks so high, and half the inverse root of `p` has mean 1. A miss
    within the interval is no news, however wide that was before.
    """
    if len(before) < FEWEST_LOOKS:
        return 0.0
    p = (1 + np.sum(GROWN_RATIO * np.maximum(before, MEANT_MISS) >= miss_now)) / (len(before) + 1)
    return float((evidence + 1) * 0.5 * p**-0.5)


@dataclass(frozen=True)
class ActSeen:
    """What an act was found to do: its effect and error, and what was believed of it, in sd, positive toward the goal.

    NaN where not measured. `is_harm` tells whether it was found to make a metric worse, or was taken back for it.
    """

    is_harm: bool
    effect: float = float("nan")
    error: float = float("nan")
    believed: float = float("nan")

    @property
    def is_for_worse(self) -> bool:
        """Tell whether it speaks for harm, demonstrable or not."""
        return self.is_harm or self.effect < 0


def harm_evidence(acts: Sequence[ActSeen]) -> float:
    """Return the evidence that an action harms by now that was believed to help, from its acts, oldest first."""
    evidence = 0.0
    for before, act in enumerate(acts):
        evidence = (evidence + 1) * _bet_on_harm(_chance_of(act, before))
    return evidence


def _chance_of(act: ActSeen, before: int) -> float:
    """Return how often an act does so badly whose belief rests on so many before it; a half where it did not harm.

    By Student's t, whose tails are the heavier the fewer acts there were.
    """
    z = (act.effect - act.believed) / hypot(act.error, OWN_SPREAD_SD)
    is_told = act.effect < 0 and isfinite(z) and before > 0
    chance = stdtr(min(before, MOST_FREEDOM), z) if is_told else 0.5
    return min(chance, CHANCE_HARM) if act.is_harm else chance


def _bet_on_harm(chance: float) -> float:
    """Return a bet of mean 1: half on the worst effects, the worse the more, half on harm as often as not."""
    is_harm = chance <= CHANCE_HARM
    flat = FEARED_HARM / CHANCE_HARM if is_harm else (1 - FEARED_HARM) / (1 - CHANCE_HARM)
    return 0.5 * float(0.1 * chance**-0.9) + 0.5 * flat


def made_anew(before: Collection[str], now: Collection[str]) -> float:
    """Return the share of series that are new or gone; 0 where too few were known to tell."""
    known, there = set(before), set(now)
    return len(known ^ there) / len(known | there) if len(known) >= FEWEST_SERIES else 0.0
