"""What actions do together beyond what each does alone: learned per goal type and pair, from measured sequences.

A sequence moves its metric by the effects of its steps and by what each pair of them adds, its synergy. Both are
unknown and normal; an outcome says what their sum was. Conditioning the normal distribution on the outcomes (Bishop,
Pattern Recognition and Machine Learning, 2006, section 2.3.3) gives what a further sequence will do, and what of that
is the pairs'. Nothing flows back: what is believed of single actions rests on single acts alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from storage.records import FloatArray
from tasks.learn.beliefs import EFFECT_LIMIT_SD, MODEL_VARIANCE

SYNERGY_SD = 0.75
"""How much two actions may add to each other, in sd of the metric, before any outcome tells: as much as one alone."""

Pair = tuple[str, str]
Alone = tuple[float, float]
"""Mean and standard deviation of what an action does alone, beyond nothing, in sd of the metric toward the goal."""


@dataclass(frozen=True)
class SequenceOutcome:
    """What a sequence was measured to do beyond nothing, with its standard error; both in sd, toward the goal.

    `alone` is what is believed now that each of its `actions` does by itself in the situation of then.
    """

    goal_type: str
    actions: tuple[str, ...]
    effect: float
    error: float
    alone: tuple[Alone, ...]


@dataclass(frozen=True)
class Synergy:
    """What is believed that a pair adds to what its actions do alone, in sd, from how many outcomes."""

    goal_type: str
    pair: Pair
    mean: float
    sd: float
    count: int


@dataclass(frozen=True)
class PairBeliefs:
    """What is believed of actions together; without any outcome that they add nothing, give or take `SYNERGY_SD`."""

    outcomes: tuple[SequenceOutcome, ...] = ()

    def together(self, goal_type: str, actions: Sequence[str], alone: Sequence[Alone]) -> Alone:
        """Return mean and sd of what actions do together, given what each is believed to do alone; both in sd."""
        terms: list[str | Pair] = [*actions, *pairs_of(actions)]
        mean, sd = self._sum_of(goal_type, terms, dict(zip(actions, alone, strict=True)))
        return sum(each for each, _ in alone) + mean, sd

    def count(self, goal_type: str, actions: Sequence[str]) -> int:
        """Return how many outcomes there are of a sequence of just these actions, in whichever order."""
        return sum(set(each.actions) == set(actions) for each in self._for(goal_type))

    def synergies(self) -> list[Synergy]:
        """Return what is believed of every pair that was ever measured, by goal type and name."""
        kinds = {(each.goal_type, pair) for each in self.outcomes for pair in pairs_of(each.actions)}
        return [self._synergy(goal_type, pair) for goal_type, pair in sorted(kinds)]

    def _synergy(self, goal_type: str, pair: Pair) -> Synergy:
        mean, sd = self._sum_of(goal_type, [pair], {})
        count = sum(pair in pairs_of(each.actions) for each in self._for(goal_type))
        return Synergy(goal_type, pair, mean, sd, count)

    def _for(self, goal_type: str) -> list[SequenceOutcome]:
        return [each for each in self.outcomes if each.goal_type == goal_type]

    def _sum_of(self, goal_type: str, terms: Sequence[str | Pair], alone: Mapping[str, Alone]) -> Alone:
        """Return mean and sd of a sum of terms: an action's stands for its deviation from what is believed of it."""
        mine = self._for(goal_type)
        known = {name: one for each in mine for name, one in zip(each.actions, each.alone, strict=True)} | dict(alone)
        names: list[str | Pair] = [*known, *dict.fromkeys(pair for each in mine for pair in pairs_of(each.actions))]
        names += [term for term in terms if term not in names]
        place = {name: number for number, name in enumerate(names)}
        prior = np.array([_prior_sd(name, known) for name in names]) ** 2
        wanted = _row(terms, place)
        if not mine:
            return 0.0, float(np.sqrt(wanted @ (prior * wanted)))
        rows = np.stack([_row([*each.actions, *pairs_of(each.actions)], place) for each in mine])
        surprise = np.array([_surprise(each, alone) for each in mine])
        noise = np.diag([each.error**2 + MODEL_VARIANCE for each in mine])
        # How far each outcome moves the sum: the gain of a Kalman update with all outcomes at once.
        gain = np.linalg.solve((rows * prior) @ rows.T + noise, rows @ (prior * wanted))
        variance = float(wanted @ (prior * wanted) - gain @ (rows @ (prior * wanted)))
        return float(gain @ surprise), float(np.sqrt(max(variance, 1e-12)))


def pairs_of(actions: Sequence[str]) -> list[Pair]:
    """Return the pairs among actions, each in alphabetical order: who comes first does not tell them apart."""
    return list(combinations(sorted(set(actions)), 2))


def _prior_sd(name: str | Pair, alone: Mapping[str, Alone]) -> float:
    return SYNERGY_SD if isinstance(name, tuple) else alone[name][1]


def _row(terms: Sequence[str | Pair], place: Mapping[str | Pair, int]) -> FloatArray:
    row = np.zeros(len(place))
    row[[place[term] for term in terms]] = 1.0
    return row


def _surprise(outcome: SequenceOutcome, alone: Mapping[str, Alone]) -> float:
    """Return how much more an outcome was than what its actions are believed to do alone, all taken together."""
    limited = float(np.clip(outcome.effect, -EFFECT_LIMIT_SD, EFFECT_LIMIT_SD))
    before = zip(outcome.actions, outcome.alone, strict=True)
    return limited - sum(alone.get(name, one)[0] for name, one in before)
