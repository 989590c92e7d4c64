"""What is believed about each action's effect, learned one measured outcome at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Any, Protocol

import numpy as np

from storage.errors import ForeactError
from storage.records import NOTHING, FloatArray
from tasks.learn.features import FeatureMap, Situation, describe

DECAY = 0.995
PRIOR_SHAPE = 5.0
PRIOR_RATE = 5.0
MODEL_VARIANCE = 0.02
EFFECT_LIMIT_SD = 2.0
DIFFERING_RATIO = 0.3
"""By which share of what a metric was off two acts that bring it back may differ."""

REMEMBERED_IDS = 1_000
RECORD_VERSION = 2


@dataclass(frozen=True)
class Observation:
    """A measured outcome as the learner sees it.

    `effect_sd_units` is the effect in standard deviations of the metric, positive toward the goal;
    `standard_error_sd_units` its uncertainty on the same scale; `hour` the hour of day at which was acted, `series`
    what was to move, `target` what was acted on, both empty where not known; `off_usual_sd` how far that stood out.
    """

    outcome_id: str
    action: str
    goal_type: str
    hour: float
    effect_sd_units: float
    standard_error_sd_units: float
    series: str = ""
    target: str = ""
    off_usual_sd: float = 0.0

    @property
    def situation(self) -> Situation:
        """Return the situation in which was acted."""
        return Situation(self.goal_type, self.hour, self.series, self.target, self.off_usual_sd)

    @property
    def weight(self) -> float:
        """Return what its row counts: the less the surer its error, and how much acts differ, make it."""
        differing = DIFFERING_RATIO * self.off_usual_sd
        return float((self.standard_error_sd_units**2 + MODEL_VARIANCE + differing**2) ** -0.5)


class Learner(Protocol):
    """What the loop needs of whatever learns; an update returns a new learner and leaves the old one as it
    was."""

    @property
    def outcome_count(self) -> int:
        """Return how many outcomes were learned from."""
        ...

    @property
    def recent_ids(self) -> tuple[str, ...]:
        """Return the ids of the outcomes learned from last, oldest first."""
        ...

    def update(self, observation: Observation) -> Learner:
        """Return the learner that has seen one more outcome; one seen before changes nothing."""
        ...

    def effects(self, context: Situation, arms: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return the believed mean effect of each arm and its standard deviation, both (n_arms,)."""
        ...

    def draws(self, context: Situation, arms: Sequence[str], count: int, seed: int) -> FloatArray:
        """Draw the arms' effects jointly from what is believed: (count, n_arms)."""
        ...

    def gain(self, context: Situation, action: str, than: str, at: Situation | None = None) -> tuple[float, float]:
        """Return how much more an action is believed to do than another, and the standard deviation of that.

        `at` is the other's context where it differs.
        """
        ...

    def doubt_before(self, context: Situation, action: str) -> float:
        """Return how uncertain it was, before any outcome, how much more an action does than nothing (an sd)."""
        ...

    def to_record(self) -> dict[str, Any]:
        """Return plain JSON values from which the learner can be restored bit by bit."""
        ...


@dataclass(frozen=True)
class HierarchicalLearner:
    """Bayesian linear regression of effects with unknown noise (Normal-inverse-gamma), pooling over pairs.

    An action's effect is its own, plus what differs for the goal type, the metric, the series, the target, and by
    time of day, so a pair seen never or rarely borrows from the rest. `precision` is (n_features, n_features), `mean`
    (n_features,), over features scaled to N(0, 1) priors. Old outcomes fade by `DECAY` an outcome toward the
    prior, never beyond it. The conjugate update and the draws are those of the library `bayesianbandits`.
    Murphy, Machine Learning: A Probabilistic Perspective (2012), section 7.6.
    """

    features: FeatureMap = field(default_factory=FeatureMap)
    mean: FloatArray = field(default_factory=lambda: np.zeros(0))
    precision: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    shape: float = PRIOR_SHAPE
    rate: float = PRIOR_RATE
    outcome_count: int = 0
    recent_ids: tuple[str, ...] = ()

    def update(self, observation: Observation) -> HierarchicalLearner:
        """Return the learner that has seen one more outcome; one seen before changes nothing.

        Raises ForeactError `observation_invalid` where effect, error or hour is not a usable number.
        """
        if observation.outcome_id in self.recent_ids:
            return self
        _check(observation)
        named = describe(observation.action, observation.situation)
        prior = self._grown(named)._faded()
        # Scaling the row, not passing a weight: the library's weights count repeated rows, which would make a
        # precise outcome many outcomes and the noise look small.
        weight = observation.weight
        row = prior.features.vector(named) * weight
        # A metric that hardly ever moved makes any change hundreds of its standard deviations; one such outcome
        # would outvote all others. Beyond two, or all that it was off, more says nothing about which action is better.
        limit = max(EFFECT_LIMIT_SD, observation.off_usual_sd)
        effect = float(np.clip(observation.effect_sd_units, -limit, limit))
        fitted = prior._regressor().fit(row[None, :], np.array([effect * weight]))
        upper = np.triu(np.asarray(fitted.cov_inv_))
        return replace(
            prior,
            mean=np.asarray(fitted.coef_, np.float64),
            precision=upper + np.triu(upper, 1).T,
            shape=float(fitted.a_),
            rate=float(fitted.b_),
            outcome_count=self.outcome_count + 1,
            recent_ids=(*self.recent_ids, observation.outcome_id)[-REMEMBERED_IDS:],
        )

    def effects(self, context: Situation, arms: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return the believed mean effect of each arm and its standard deviation, both (n_arms,)."""
        grown, rows = self._rows(context, arms)
        spread = np.linalg.solve(grown.precision, rows.T)
        variance = grown.rate / (grown.shape - 1) * np.einsum("af,fa->a", rows, spread)
        return rows @ grown.mean, np.sqrt(variance)

    def draws(self, context: Situation, arms: Sequence[str], count: int, seed: int) -> FloatArray:
        """Draw the arms' effects jointly from what is believed: (count, n_arms)."""
        grown, rows = self._rows(context, arms)
        return np.asarray(grown._regressor(seed).sample(rows, size=count), dtype=np.float64)

    def gain(self, context: Situation, action: str, than: str, at: Situation | None = None) -> tuple[float, float]:
        """Return how much more an action is believed to do than another, and the standard deviation of that.

        `at` is the other's context where it differs, so that an action can be compared with itself at another
        hour. What both share cancels: the difference is surer than either.
        """
        one, other = describe(action, context), describe(than, at or context)
        apart = {name: one.get(name, 0.0) - other.get(name, 0.0) for name in {**one, **other}}
        row = self.features.vector(apart)
        # What was never met is as it was before any outcome, and tied to nothing that was.
        unmet = sum(value**2 for name, value in apart.items() if name not in self._names_known)
        variance = self.rate / (self.shape - 1) * (float(row @ self._covariance @ row) + unmet)
        return float(row @ self.mean), float(np.sqrt(variance))

    def doubt_before(self, context: Situation, action: str) -> float:
        """Return how uncertain it was, before any outcome, how much more an action does than nothing (an sd).

        On the noise as it is known now, so that it is the doubt of an action that was never tried.
        """
        common = describe(NOTHING, context)
        own = sum(value**2 for name, value in describe(action, context).items() if name not in common)
        return float(np.sqrt(self.rate / (self.shape - 1) * own))

    def to_record(self) -> dict[str, Any]:
        """Return plain JSON values from which the learner can be restored bit by bit."""
        row, column = np.nonzero(np.triu(self.precision))
        body = {
            "version": RECORD_VERSION,
            "features": list(self.features.names),
            "mean": self.mean.tolist(),
            "precision": [row.tolist(), column.tolist(), self.precision[row, column].tolist()],
            "shape": self.shape,
            "rate": self.rate,
            "outcome_count": self.outcome_count,
            "recent_ids": list(self.recent_ids),
        }
        return body | {"digest": _digest(body)}

    @staticmethod
    def from_record(record: dict[str, Any]) -> HierarchicalLearner:
        """Restore what `to_record` wrote.

        Raises ForeactError `belief_corrupt` where anything is missing, altered or not a usable belief.
        """
        try:
            body = {name: value for name, value in record.items() if name != "digest"}
            if record["digest"] != _digest(body) or record["version"] != RECORD_VERSION:
                raise ValueError("its digest or version does not match")
            size = len(record["features"])
            row, column, values = record["precision"]
            upper = np.zeros((size, size))
            upper[row, column] = values
            learner = HierarchicalLearner(
                FeatureMap(tuple(record["features"])),
                np.array(record["mean"], dtype=np.float64).reshape(size),
                upper + np.triu(upper, 1).T,
                float(record["shape"]),
                float(record["rate"]),
                int(record["outcome_count"]),
                tuple(record["recent_ids"]),
            )
            np.linalg.cholesky(learner.precision)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, np.linalg.LinAlgError) as error:
            raise ForeactError(
                "belief_corrupt",
                f"A stored belief cannot be used: {error}.",
                "Replay the outcomes; this gives the same numbers.",
            ) from error
        return learner

    @cached_property
    def _names_known(self) -> frozenset[str]:
        return frozenset(self.features.names)

    @cached_property
    def _covariance(self) -> FloatArray:
        """Return that of the coefficients (n_features, n_features), in units of the noise's variance."""
        return np.asarray(np.linalg.inv(self.precision), dtype=np.float64)

    def _grown(self, named: Iterable[str]) -> HierarchicalLearner:
        features = self.features.grown(named)
        extra = len(features.names) - len(self.features.names)
        if not extra:
            return self
        size = len(self.features.names)
        precision = np.eye(size + extra)
        precision[:size, :size] = self.precision
        return replace(self, features=features, mean=np.concatenate([self.mean, np.zeros(extra)]), precision=precision)

    def _faded(self) -> HierarchicalLearner:
        """Take one step back toward the prior: all that the data said so far counts `DECAY` of what it
        did."""
        evidence = self.precision @ self.mean
        explained = float(self.mean @ evidence)
        total = 2 * (self.rate - PRIOR_RATE) + explained
        precision = DECAY * self.precision + (1 - DECAY) * np.eye(len(self.mean))
        mean = np.asarray(np.linalg.solve(precision, DECAY * evidence), dtype=np.float64)
        left = DECAY * total - float(mean @ precision @ mean)
        return replace(
            self,
            mean=mean,
            precision=precision,
            shape=PRIOR_SHAPE + DECAY * (self.shape - PRIOR_SHAPE),
            rate=PRIOR_RATE + max(0.0, left) / 2,
        )

    def _rows(self, context: Situation, arms: Sequence[str]) -> tuple[HierarchicalLearner, FloatArray]:
        named = [describe(arm, context) for arm in arms]
        grown = self._grown(name for features in named for name in features)
        return grown, np.stack([grown.features.vector(features) for features in named])

    def _regressor(self, seed: int | None = None) -> Any:
        # Imported here: it brings scikit-learn, a second that nothing but learning should pay.
        from bayesianbandits import NormalInverseGammaRegressor

        return NormalInverseGammaRegressor(
            mu=self.mean, lam=self.precision, a=self.shape, b=self.rate, random_state=seed
        )


def replay(observations: Iterable[Observation], start: Learner | None = None) -> Learner:
    """Learn from outcomes in the order they were recorded; the same list gives the same numbers."""
    first: Learner = HierarchicalLearner() if start is None else start
    return reduce(lambda learner, observation: learner.update(observation), observations, first)


@dataclass(frozen=True)
class Restored:
    """A learner brought back, and what had to be done for it; `note` is empty where the record was sound."""

    learner: Learner
    note: str = ""


def restore(record: dict[str, Any] | None, observations: Iterable[Observation]) -> Restored:
    """Bring back a learner from its last record, or from the outcomes where that is missing or corrupt."""
    if record is None:
        return Restored(replay(observations))
    try:
        return Restored(HierarchicalLearner.from_record(record))
    except ForeactError as error:
        learner = replay(observations)
        note = f"{error.message} Replayed from {learner.outcome_count} outcomes instead."
        return Restored(learner, note)


def unlearned(learner: Learner, observations: Sequence[Observation]) -> list[Observation]:
    """Return the outcomes, of a list in the order they were recorded, that a learner has not seen yet.

    A learner remembers the ids of its last thousand outcomes; what was recorded before the first of these
    it has seen. An outcome that arrived late stands where it was recorded, so it is found; one given twice
    is not.
    """
    learned_ids = set(learner.recent_ids)
    places = [place for place, observation in enumerate(observations) if observation.outcome_id in learned_ids]
    fresh = observations[places[0] :] if places and len(learned_ids) < learner.outcome_count else observations
    return [observation for observation in fresh if observation.outcome_id not in learned_ids]


def _check(observation: Observation) -> None:
    numbers = (observation.effect_sd_units, observation.standard_error_sd_units, observation.hour)
    if not np.all(np.isfinite(numbers)) or observation.standard_error_sd_units < 0:
        raise ForeactError(
            "observation_invalid",
            f"Outcome {observation.outcome_id} has no usable effect: {numbers}.",
            "Learn only from outcomes with a finite effect, standard error and hour.",
        )


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
