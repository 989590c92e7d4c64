"""Choosing an action: by how often it would be the best, never with certainty, always on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from storage.errors import ForeactError
from storage.records import NOTHING
from tasks.learn.beliefs import Learner
from tasks.learn.features import Context, FloatArray

DRAWS = 300
CURIOSITY = 0.3
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
    context: Context,
    arms: Sequence[str],
    seed: int,
    *,
    gains: Mapping[str, float] | None = None,
    nothing_floor: float = 0.05,
    uniform_share: float = UNIFORM_SHARE,
    curiosity: float = CURIOSITY,
    draws: int = DRAWS,
) -> FloatArray:
    """Return the probability of each arm (n_arms,): the share of posterior draws it wins, mixed with uniform.

    Thompson sampling with the spread of the draws times `curiosity` about their mean. `gains` adds a known
    value to an arm (a cost is negative), in the metric's standard deviations. Doing nothing, where it is an
    arm, has at least `nothing_floor`: without a holdout nothing can be learned. Raises ForeactError
    `no_arms` without arms, and `arms_duplicate` where one comes twice.
    """
    _check(arms)
    drawn = learner.draws(context, arms, draws, seed)
    mean, _ = learner.effects(context, arms)
    value = mean + curiosity * (drawn - mean) + np.array([(gains or {}).get(arm, 0.0) for arm in arms])
    won = np.bincount(value.argmax(axis=1), minlength=len(arms)) / draws
    mixed: FloatArray = (1 - uniform_share) * won + uniform_share / len(arms)
    return with_floor(mixed, arms, nothing_floor)


def with_floor(probabilities: FloatArray, arms: Sequence[str], nothing_floor: float) -> FloatArray:
    """Raise doing nothing to its floor, taking from the others in proportion; all still sum to 1."""
    if NOTHING not in arms or len(arms) == 1:
        return probabilities
    place = list(arms).index(NOTHING)
    if probabilities[place] >= nothing_floor:
        return probabilities
    lifted: FloatArray = probabilities * ((1 - nothing_floor) / (1 - float(probabilities[place])))
    lifted[place] = nothing_floor
    return lifted


def choose(
    learner: Learner,
    context: Context,
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


def draw(learner: Learner, context: Context, arms: Sequence[str], chances: FloatArray, seed: int) -> Choice:
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
        raise ForeactError("arms_duplicate", f"An arm comes twice: {list(arms)}.", "Offer each arm once.")
