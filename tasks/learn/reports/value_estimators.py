"""Estimates of what a policy is worth from decisions that another one took, each with its 90 % interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from storage.records import FloatArray
from tasks.special import stdtrit


@dataclass(frozen=True)
class LoggedTerms:
    """Of each decision (n,): what a policy is worth there by a model, the model's value of what was done, and outcome.

    `weight` is how much likelier the policy was to do what was done than the one that did it.
    """

    direct: FloatArray
    taken: FloatArray
    weight: FloatArray
    achieved: FloatArray


@dataclass(frozen=True)
class ValueEstimate:
    """The mean value, and its 90 % interval."""

    value: float
    low: float
    high: float

    def holds(self, truth: float) -> bool:
        """Tell whether a value lies in the interval."""
        return self.low <= truth <= self.high


def effective_number(weight: FloatArray) -> float:
    """Return how many decisions a weighted mean is worth (Kish)."""
    squares = float(np.square(weight).sum())
    return float(weight.sum()) ** 2 / squares if squares > 0 else 0.0


def self_normalised(weight: FloatArray, missed: FloatArray) -> tuple[float, FloatArray]:
    """Return the weighted mean of what the model missed, and what each decision moves it by, as if it were left out."""
    total = float(weight.sum())
    if not total > 0:
        return 0.0, np.zeros(len(weight))
    mean = float(weight @ missed) / total
    share = weight / total
    return mean, share * (missed - mean) / np.maximum(1 - share, 0.5)


def direct_method(terms: LoggedTerms) -> ValueEstimate:
    """Trust the model alone; its own error is in no interval."""
    return _of_terms(terms.direct)


def snips(terms: LoggedTerms) -> ValueEstimate:
    """Weigh outcomes alone, weights self-normalised: Swaminathan and Joachims (2015)."""
    value, moved = self_normalised(terms.weight, terms.achieved)
    return _around(value, moved, effective_number(terms.weight))


def doubly_robust(terms: LoggedTerms) -> ValueEstimate:
    """Correct the model by the weighted outcomes: Dudik, Langford and Li (2011, arXiv:1103.4601)."""
    return _of_terms(terms.direct + terms.weight * (terms.achieved - terms.taken))


def switch_doubly_robust(terms: LoggedTerms, most_weight: float = 10.0) -> ValueEstimate:
    """Correct where the weight is at most `most_weight` alone: Wang, Agarwal and Dudik (2017, arXiv:1612.01205)."""
    weight = np.where(terms.weight <= most_weight, terms.weight, 0.0)
    return _of_terms(terms.direct + weight * (terms.achieved - terms.taken))


def self_normalised_doubly_robust(terms: LoggedTerms) -> ValueEstimate:
    """Correct by the weighted outcomes, weights self-normalised: less moved by a single large one."""
    correction, moved = self_normalised(terms.weight, terms.achieved - terms.taken)
    direct = terms.direct.mean()
    moved = moved + (terms.direct - direct) / len(terms.direct)
    return _around(float(direct) + correction, moved, effective_number(terms.weight))


def _of_terms(each: FloatArray) -> ValueEstimate:
    """Return the mean of what each decision says (n,)."""
    mean = float(each.mean())
    return _around(mean, (each - mean) / max(1, len(each) - 1), len(each))


def _around(value: float, moved: FloatArray, effective: float) -> ValueEstimate:
    """Return the interval from what each decision moves a value by (n,), with Student's t for the largest of these."""
    freedom = max(1.0, min(effective, effective_number(np.square(moved))) - 1)
    half = stdtrit(freedom, 0.95) * float(np.sqrt(np.square(moved).sum()))
    return ValueEstimate(value, value - half, value + half)
