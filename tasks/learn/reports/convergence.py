"""How settled the question is which action is best, for each goal type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from storage.errors import ForeactError
from tasks.learn.beliefs import Learner
from tasks.learn.features import Situation

DRAWS = 1_000
SETTLED_RATIO = 0.9
SETTLED_VALUE_SD = 0.1


@dataclass(frozen=True)
class Convergence:
    """How settled a goal type's best arm is, on average over the day.

    `best_ratio` is the probability that `best` is the best arm; `value_remaining_sd` what switching could
    still gain, in sd of the metric: the 95 % quantile of the best arm's effect less that of `best`.
    """

    goal_type: str
    best: str
    best_ratio: float
    value_remaining_sd: float
    is_settled: bool


def convergence(learner: Learner, goal_type: str, arms: Sequence[str], seed: int = 0) -> Convergence:
    """Say which arm is believed best on average over the day, and what could still be gained by learning
    more.

    Settled means a 90 % chance of being the best arm, or at most a tenth of a standard deviation to gain.
    Raises ForeactError `no_arms` without arms.
    """
    if not arms:
        raise ForeactError("no_arms", "There is nothing to compare.", "Offer at least doing nothing.")
    context = Situation(goal_type)
    draws = learner.draws(context, arms, DRAWS, seed)
    best = int(learner.effects(context, arms)[0].argmax())
    ratio = float(np.mean(draws.argmax(axis=1) == best))
    remaining = float(np.quantile(draws.max(axis=1) - draws[:, best], 0.95))
    settled = ratio >= SETTLED_RATIO or remaining <= SETTLED_VALUE_SD
    return Convergence(goal_type, arms[best], ratio, remaining, settled)
