"""A policy by fitted Q: what each arm is worth with all that follows, from logged choices alone.

Ernst, Geurts and Wehenkel, "Tree-based batch mode reinforcement learning" (2005), with Bayesian linear regression in
the place of trees, since choices are few. The policy departs from the planner's shares only among arms that the planner
itself would draw there, and only where an arm's advantage is clear of its doubt: safe policy improvement with the
baseline where little is known (Laroche, Trichelair, Tachet des Combes 2019, arXiv:1712.06924).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from storage.records import BoolArray, FloatArray, IntArray
from tasks.learn.late.choice_log import ChoiceLog, LateState, features_of

KEPT_SHARE = 0.1
"""How much of the planner's shares stays where the learned policy chooses, so that both go on being compared."""
DOUBTS = 0.5
ROUNDS = 3
_SHARED_PRIOR, _ARM_PRIOR = 10.0, 1.0


@dataclass(frozen=True)
class LatePolicy:
    """What was learned: `weights` (n_features,) of what arms are worth, and their `covariance`, over `arms`."""

    arms: tuple[str, ...]
    weights: FloatArray
    covariance: FloatArray

    def worth(self, features: FloatArray) -> FloatArray:
        """Return what each arm is worth (..., n_arms) with features (..., n_arms, n_features)."""
        return np.asarray(features @ self.weights)

    def advantage(self, features: FloatArray, usual: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return how much more each arm is worth than `usual` shares of them, and the doubt; both (..., n_arms)."""
        away = features - np.einsum("...a,...af->...f", usual, features)[..., None, :]
        variance = np.einsum("...f,fg,...g->...", away, self.covariance, away)
        return np.asarray(away @ self.weights), np.sqrt(np.maximum(variance, 0.0))

    def shares(self, features: FloatArray, usual: FloatArray) -> FloatArray:
        """Return the shares (..., n_arms) that the policy draws from where the planner's are `usual`."""
        gain, doubt = self.advantage(features, usual)
        sure = np.where(usual > 0, gain - DOUBTS * doubt, -np.inf)
        best = np.eye(usual.shape[-1])[sure.argmax(axis=-1)]
        departs = (sure.max(axis=-1) > 0)[..., None]
        return np.where(departs, (1 - KEPT_SHARE) * best + KEPT_SHARE * usual, usual)


@dataclass(frozen=True)
class LateWord:
    """What the learned policy says of one choice: what it would do, how much better that is, and its shares.

    `gain` and `doubt` are in hours of severity 1 that are not broken.
    """

    instead: str
    gain: float
    doubt: float
    shares: Mapping[str, float]


def word_of(policy: LatePolicy, state: LateState, usual: Mapping[str, float]) -> LateWord | None:
    """Return what a policy would do where the planner draws from `usual`; None where it has nothing to add.

    Arms that were not there when it was learned keep their shares.
    """
    known = [arm for arm in policy.arms if arm in usual]
    if any(share > 0 for arm, share in usual.items() if arm not in policy.arms) or len(known) < 2:
        return None
    shares = np.array([usual.get(arm, 0.0) for arm in policy.arms])
    features = features_of(state, policy.arms)
    learned = policy.shares(features, shares)
    if np.allclose(learned, shares):
        return None
    gain, doubt = policy.advantage(features, shares)
    place = int((learned - shares).argmax())
    drawn = {**dict.fromkeys(usual, 0.0), **{arm: float(each) for arm, each in zip(policy.arms, learned, strict=True)}}
    return LateWord(policy.arms[place], float(gain[place]), float(doubt[place]), {arm: drawn[arm] for arm in usual})


def fit(log: ChoiceLog, is_used: BoolArray | None = None) -> LatePolicy:
    """Return the policy that logged choices teach; `is_used` (n,) marks those to learn from, all by default.

    At least one must be used. What the planner's own shares are worth comes first; each round then asks what the policy
    of the round before is worth.
    """
    used = np.flatnonzero(np.ones(len(log), bool) if is_used is None else is_used)
    prior = _prior_sd(log) * max(float(log.reward[used].std()), 1e-6)
    policy = _valued(log, used, log.usual, prior)
    for _ in range(ROUNDS):
        policy = _valued(log, used, policy.shares(log.features, log.usual), prior)
    return policy


def _prior_sd(log: ChoiceLog) -> FloatArray:
    """Return how large each weight may be (n_features,): wide for what all arms share, narrow for what each does."""
    acting = len(log.arms) - 1
    return np.array([_SHARED_PRIOR] * (4 + acting) + [_ARM_PRIOR] * (3 * acting))


def _valued(log: ChoiceLog, used: IntArray, shares: FloatArray, prior: FloatArray) -> LatePolicy:
    """Return what arms are worth where shares (n, n_arms) are followed: the point where fitted Q no longer moves.

    Least squares of temporal differences, as Lagoudakis and Parr, "Least-squares policy iteration" (2003), with the
    prior of a ridge; the covariance is that of clusters of a day, within which everything may hang together.
    """
    rows = log.features[used, log.chosen[used]]
    mean = np.einsum("na,naf->nf", shares, log.features)
    following = log.following[used]
    ahead = np.where(following >= 0, log.kept[used], 0.0)[:, None] * mean[following]
    noise, penalty = float(log.reward[used].var()) + 1e-12, np.diag(1 / prior**2)
    for _ in range(2):
        solved = np.linalg.inv(rows.T @ (rows - ahead) / noise + penalty)
        weights = solved @ (rows.T @ log.reward[used]) / noise
        missed = log.reward[used] - (rows - ahead) @ weights
        noise = float(np.square(missed).mean()) + 1e-12
    pulls = rows * (missed / noise)[:, None]
    _, day = np.unique(log.day[used], return_inverse=True)
    by_day = np.zeros((int(day.max()) + 1, rows.shape[1]))
    np.add.at(by_day, day, pulls)
    return LatePolicy(log.arms, weights, solved @ (by_day.T @ by_day + penalty) @ solved.T)
