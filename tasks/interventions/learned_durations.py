"""How long an act works, where nobody says: learned from how a metric came back when its acts were over.

Each length from a few steps to some hours is a hypothesis: the acts lowered or lifted the metric for so long, each by
its own amount, and no longer. They are held against each other, and against acts that changed nothing, gave the metric
a push from which it went on by itself, changed it for good, or left something else behind once they were over: by their
marginal likelihood (Kass and Raftery 1995, doi:10.1080/01621459.1995.10476572) under the noise of `effect_over_time`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, log

import numpy as np

from storage.records import BoolArray, FloatArray
from tasks.interventions.effect_over_time import (
    OUTLIER_SD,
    OWN_PRIOR_SD,
    Noise,
    noise_of,
    usual_day,
    without_gaps,
)

FEWEST_ACTS, MOST_ACTS = 3, 24
FEWEST_STEPS = 60
SHORTEST_STEPS = 3
"""What passes sooner looks like a push."""

LONGEST_S = 8 * 3_600.0
FINENESS = 1.01
"""By how much the lengths that are compared differ, where they do not differ by a step."""

ALIKE_RATIO = 1.3
SURE = 6.0
"""By how much the logarithm of the likelihood must be better than without a length, and than with another one."""


@dataclass(frozen=True)
class ActSpan:
    """From when to when an act works, in epoch seconds; for good where nobody knows."""

    start_s: float
    until_s: float = inf


@dataclass(frozen=True)
class ActedHistory:
    """A metric's history (n_steps,), NaN where not seen, that ends at the epoch seconds `end_s`; and the acts on it.

    `starts_s` are those of the action in question, `others` all others.
    """

    values: FloatArray
    end_s: float
    step_s: float
    starts_s: FloatArray
    others: tuple[ActSpan, ...] = ()

    def learned_duration_s(self) -> float | None:
        """Return how long an act works, in seconds; None where that cannot be told, or it does not pass."""
        if not self._can_tell:
            return None
        likelihoods, best_s = self._likelihoods, self._best_s
        if best_s < SHORTEST_STEPS * self.step_s or best_s >= self.lengths_s[-1]:
            return None
        unlike = (self.lengths_s * ALIKE_RATIO < best_s) | (self.lengths_s > best_s * ALIKE_RATIO)
        # The last one holds the effect that passes as well: it must be seen to be better.
        left_behind = self._likelihood([self.spans(0.0, best_s), self.pushes(best_s)]) - 2 * SURE
        instead = max(likelihoods[unlike].max(initial=-inf), self._nothing, self._for_good, left_behind)
        return best_s if likelihoods.max() > instead + SURE else None

    def stays(self) -> bool:
        """Tell whether what acts changed was seen to stay, as a cure does."""
        return self._can_tell and self._for_good > max(self._nothing + SURE, float(self._likelihoods.max()))

    @property
    def _can_tell(self) -> bool:
        is_long = np.isfinite(self.values).sum() >= FEWEST_STEPS and len(self.starts_s) >= FEWEST_ACTS
        return bool(is_long and np.nanstd(self.values) > 0 and self.noise.sd > 0 and self.is_used.sum() >= FEWEST_STEPS)

    @cached_property
    def _likelihoods(self) -> FloatArray:
        return np.array([self._likelihood([self.spans(0.0, each)]) for each in self.lengths_s])

    @property
    def _best_s(self) -> float:
        return float(self.lengths_s[np.argmax(self._likelihoods)])

    @cached_property
    def _nothing(self) -> float:
        return self._likelihood([])

    @cached_property
    def _for_good(self) -> float:
        """Return how likely the history is if the metric goes on by itself from where an act brought it, or stays."""
        return max(self._likelihood([self.pushes(0.0)]), self._likelihood([self.spans(0.0, inf)]))

    @cached_property
    def ends_s(self) -> FloatArray:
        """Return when the steps end, (n_steps,), in epoch seconds."""
        return np.asarray(self.end_s - self.step_s * np.arange(len(self.values) - 1, -1, -1.0))

    @cached_property
    def lengths_s(self) -> FloatArray:
        """Return the lengths that are compared, in whole steps, ascending."""
        most = max(1, round(LONGEST_S / self.step_s))
        steps = [1]
        while steps[-1] < most:
            steps.append(max(steps[-1] + 1, round(steps[-1] * FINENESS)))
        return self.step_s * np.array(steps, dtype=np.float64)

    def _within(self, times: float) -> BoolArray:
        """Mark the steps (n_steps,) in which any act began at most so many of the longest lengths before."""
        since_s = self.ends_s[:, None] - np.concatenate([self.starts_s, [each.start_s for each in self.others]])
        return np.asarray(((since_s > 0) & (since_s <= times * LONGEST_S)).any(axis=1))

    @cached_property
    def usual(self) -> FloatArray:
        """Return what is usual at each step (n_steps,): of hours without an act where there are enough."""
        seen = np.isfinite(self.values)
        free = seen & ~self._within(0.25)
        return usual_day(self.values, self.ends_s, free if free.sum() >= FEWEST_STEPS else seen)

    @cached_property
    def apart(self) -> FloatArray:
        """Return how far each step is from what is usual, (n_steps,)."""
        return self.values - self.usual

    @cached_property
    def _spread(self) -> float:
        return float(np.nanstd(self.apart))

    @cached_property
    def noise(self) -> Noise:
        """Return how the metric moves anyway, acts or not."""
        return noise_of(self.apart, self._spread)

    @cached_property
    def new(self) -> FloatArray:
        """Return what each step brought anew, (n_steps,)."""
        return self.noise.whitened(without_gaps(self.apart))

    @cached_property
    def is_used(self) -> BoolArray:
        """Mark the steps (n_steps,) that count: from the first act on, without jumps that no act can be behind."""
        seen = np.isfinite(self.values)
        follows = seen & np.append(False, seen[:-1]) & (self.ends_s > self.starts_s.min(initial=inf))
        return np.asarray(follows & (self._within(1.0) | (np.abs(self.new) < OUTLIER_SD * self.noise.sd)))

    def spans(self, first_s: float, last_s: float) -> FloatArray:
        """Return which share of each step lies between two ages of each act, (n_steps, n_acts)."""
        return shares(self.ends_s, self.step_s, self.starts_s + first_s, self.starts_s + last_s)

    def pushes(self, from_s: float) -> FloatArray:
        """Return what is left of a push that each act gave at an age, (n_steps, n_acts)."""
        shape = self.spans(from_s, inf)
        steps_since = np.maximum(np.cumsum(shape > 0, axis=0) - 1, 0)
        return np.asarray(shape * self.noise.kept**steps_since)

    @cached_property
    def _others(self) -> FloatArray:
        """Return what is new because of the other acts, (n_used, n_others)."""
        starts_s = np.array([each.start_s for each in self.others])
        until_s = np.array([each.until_s for each in self.others])
        return self.noise.whitened(shares(self.ends_s, self.step_s, starts_s, until_s))[self.is_used]

    def _likelihood(self, shapes: Sequence[FloatArray]) -> float:
        """Return the logarithm of the likelihood, but for a constant, if acts change the metric in these shapes.

        A shape (n_steps, n_acts) has one size for all acts and a deviation for each; all sizes are integrated out, and
        so is the size of the noise.
        """
        whole = [column for shape in shapes for column in (shape.sum(axis=1, keepdims=True), shape)]
        columns = [self.noise.whitened(each)[self.is_used] for each in whole]
        count = len(self.starts_s)
        own = [1.0, *[OWN_PRIOR_SD**-2] * count]
        precision = np.array(own * len(shapes) + [1.0] * len(self.others)) * self._scale
        design = np.concatenate([*columns, self._others], axis=1)
        new = self.new[self.is_used]
        matrix, moved = design.T @ design + np.diag(precision), design.T @ new
        left = float(new @ new - moved @ np.linalg.solve(matrix, moved))
        volume = np.linalg.slogdet(matrix)[1] - float(np.log(precision).sum())
        return -0.5 * float(volume) - 0.5 * len(new) * log(max(left, 1e-300))

    @cached_property
    def _scale(self) -> float:
        """Return the precision of an effect as large as the metric's usual spread, in units of the noise."""
        return (self.noise.sd / self._spread) ** 2


def shares(ends_s: FloatArray, step_s: float, from_s: FloatArray, until_s: FloatArray) -> FloatArray:
    """Return which share of the steps that end at these epoch seconds lies within each span, (n_steps, n_spans)."""
    first, last = np.maximum(ends_s[:, None] - step_s, from_s), np.minimum(ends_s[:, None], until_s)
    return np.asarray(np.clip((last - first) / step_s, 0.0, 1.0))
