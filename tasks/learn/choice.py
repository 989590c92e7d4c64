"""Choosing an action: by how often it would be the best, never with certainty, always on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from storage.errors import ForeactError
from storage.records import NOTHING, FloatArray
from tasks.learn.beliefs import Learner
from tasks.learn.features import Situation

DRAWS = 300
CURIOSITY = 0.5
UNIFORM_SHARE = 0.1


@dataclass(frozen=True)
class Rejected:
    """An arm that was not taken: what it promised and how likely it was to be drawn."""

    action: str
    propensity: float
    expected_effect: float
    standard_deviation: float


@dataclass(frozen=True)
class Choice:
    """The arm drawn, the probabilities it was drawn from, and every arm that was not."""

    chosen: str
    propensities: Mapping[str, float]
    alternatives: tuple[Rejected, ...]
    seed: int

    @property
    def propensity(self) -> float:
        """Return the probability with which the chosen arm was drawn."""
        return self.propensities[self.chosen]


def propensities(
    learner: Learner,
    context: Situation,
    arms: Sequence[str],
    seed: int,
    *,
    gains: Mapping[str, float] | None = None,
    nothing_floor: float = 0.05,
    uniform_share: float = UNIFORM_SHARE,
    curiosity: float = CURIOSITY,
    draws: int = DRAWS,
) -> FloatArray:
    """Return the probability of each arm (n_arms,): the share of posterior draws it wins, and exploration.

    Thompson sampling with the spread of the draws times `curiosity` about their mean. `gains` adds a known
    value to an arm (a cost is negative), in sd of the metric. Doing nothing, where it is an arm, has at least
    `nothing_floor`: without a holdout nothing can be learned. Raises ForeactError `no_arms` without arms, and
    `arms_duplicate` where one comes twice.
    """
    _check(arms)
    drawn = learner.draws(context, arms, draws, seed)
    mean, _ = learner.effects(context, arms)
    if NOTHING in arms:
        # What happens anyway is uncertain too, but the same for all arms.
        drawn = drawn - drawn[:, [arms.index(NOTHING)]]
        mean = mean - mean[arms.index(NOTHING)]
    value = mean + curiosity * (drawn - mean) + np.array([(gains or {}).get(arm, 0.0) for arm in arms])
    won = np.bincount(value.argmax(axis=1), minlength=len(arms)) / draws
    parts = exploration(arms, uniform_share, nothing_floor)
    mixed: FloatArray = (1 - float(parts.sum())) * won + parts
    return mixed


def exploration(arms: Sequence[str], uniform_share: float, nothing_floor: float) -> FloatArray:
    """Return the probability that exploring gives each arm (n_arms,), whatever is believed.

    `uniform_share` is spread evenly; where doing nothing is an arm and its part would be below
    `nothing_floor`, it takes what it lacks from the others' parts, of which half stay. So the holdout is
    part of exploring, and not a cost on top of it.
    """
    count = len(arms)
    parts = np.full(count, uniform_share / count)
    if NOTHING in arms and count > 1 and nothing_floor > uniform_share / count:
        others = max(uniform_share - nothing_floor, uniform_share / 2)
        parts = np.full(count, others / (count - 1))
        parts[list(arms).index(NOTHING)] = nothing_floor
    return parts


def choose(
    learner: Learner,
    context: Situation,
    arms: Sequence[str],
    seed: int,
    *,
    gains: Mapping[str, float] | None = None,
    nothing_floor: float = 0.05,
    uniform_share: float = UNIFORM_SHARE,
    curiosity: float = CURIOSITY,
) -> Choice:
    """Draw an arm from its propensities with `seed`, and keep them with every rejected alternative.

    The probability on record is the one drawn from, not one reconstructed afterwards; off-policy estimates
    rest on it. Same learner, context, arms and seed: same choice. Raises as `propensities`.
    """
    chances = propensities(
        learner,
        context,
        arms,
        seed,
        gains=gains,
        nothing_floor=nothing_floor,
        uniform_share=uniform_share,
        curiosity=curiosity,
    )
    return draw(learner, context, arms, chances, seed)


def draw(learner: Learner, context: Situation, arms: Sequence[str], chances: FloatArray, seed: int) -> Choice:
    """Draw from given probabilities (n_arms,) and keep what was believed about every arm."""
    # A stream of its own: the seed already made the posterior draws.
    place = int(np.random.default_rng([seed, 1]).choice(len(arms), p=chances / chances.sum()))
    mean, deviation = learner.effects(context, arms)
    rejected = tuple(
        Rejected(arm, float(chances[other]), float(mean[other]), float(deviation[other]))
        for other, arm in enumerate(arms)
        if other != place
    )
    return Choice(arms[place], dict(zip(arms, chances.tolist(), strict=True)), rejected, seed)


def _check(arms: Sequence[str]) -> None:
    if not arms:
        raise ForeactError("no_arms", "There is nothing to choose from.", "Offer at least doing nothing.")
    if len(set(arms)) < len(arms):
        raise ForeactError("arms_duplicate", f"An arm is given twice: {list(arms)}.", "Offer each arm once.")
