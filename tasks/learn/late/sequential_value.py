"""How much better a learned policy would have done than the planner's, from choices that were logged as they came."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from storage.records import BoolArray, FloatArray, IntArray
from tasks.learn.late.choice_log import ChoiceLog
from tasks.learn.late.fitted_q import LatePolicy, fit
from tasks.learn.reports.value_estimators import effective_number
from tasks.special import stdtrit

FOLDS = 5
FOLLOWED = 2
"""For so many choices in a row each policy is followed; after them both go on as was logged."""
MOST_WEIGHT = 20.0


@dataclass(frozen=True)
class LateValue:
    """How much less a choice costs under a learned policy, all that follows included, in hours of severity 1.

    `error` is its standard error and `freedom` the degrees of it, from how days differ. Of `choices` logged,
    `differing` are those in which the two would not do the same; in `followed` of these was done what the learned one
    would do.
    """

    mean: float
    error: float
    freedom: float
    choices: int
    differing: int
    followed: int

    def low(self, chance: float) -> float:
        """Return the bound that lies above the truth with at most this chance."""
        return self.mean - stdtrit(self.freedom, 1 - chance) * self.error

    def high(self, chance: float) -> float:
        """Return the bound that lies below the truth with at most this chance."""
        return self.mean + stdtrit(self.freedom, 1 - chance) * self.error


def evaluate_late(log: ChoiceLog, horizon_s: float, seen_until_s: float, since_s: float = 0.0) -> LateValue | None:
    """Estimate what the learned policy would have been worth beyond the planner's; None where nothing tells.

    Each choice is a start, from which each policy is followed for some choices. The estimate is doubly robust step by
    step (Jiang and Li 2016, arXiv:1511.03722): the value by a model, corrected by what came, weighted by how much
    likelier the policy was to have done what was done. Model and policy are those learned without the fold of days that
    they speak of. Starts whose time is not over by `seen_until_s`, or that lie before `since_s`, are left out. Days are
    what varies independently: the error is that of a mean over clusters of one day.
    """
    days = np.unique(log.day)
    is_start = (log.at_s + 2 * horizon_s <= seen_until_s) & (log.at_s >= since_s)
    if len(days) < FOLDS or not is_start.any():
        return None
    fold_of_day = np.arange(len(days)) * FOLDS // len(days)
    fold = fold_of_day[np.searchsorted(days, log.day)]
    parts = [
        _compared(log, fit(log, fold != each), np.flatnonzero((fold == each) & is_start), horizon_s)
        for each in range(FOLDS)
        if ((fold == each) & is_start).any()
    ]
    starts = np.concatenate([part.starts for part in parts])
    better = _better([part.sides[0] for part in parts], [part.sides[1] for part in parts], log.day[starts])
    differs = np.concatenate([part.differs for part in parts])
    follows = np.concatenate([part.follows for part in parts])
    return _summed_up(better, log.day[starts], differs, follows)


@dataclass(frozen=True)
class _Walk:
    """From each start one policy followed: its `value` by the model (n_starts,), and step by step, each (n_starts,),
    the weight of what was done and by how much what came missed the model; that is 0 once the time is over.
    """

    value: FloatArray
    weights: list[FloatArray]
    misses: list[FloatArray]


@dataclass(frozen=True)
class _Compared:
    """The starts of one fold: the learned policy and the planner's from there, and where the two differ."""

    starts: IntArray
    sides: tuple[_Walk, _Walk]
    differs: BoolArray
    follows: BoolArray


def _compared(log: ChoiceLog, policy: LatePolicy, starts: IntArray, horizon_s: float) -> _Compared:
    shares = policy.shares(log.features, log.usual)
    moved = (shares - log.usual)[starts]
    differs = np.abs(moved).max(axis=1) > 1e-9
    sides = (
        _followed(log, policy, shares, starts, horizon_s),
        _followed(log, policy, log.usual, starts, horizon_s),
    )
    return _Compared(starts, sides, differs, differs & (moved.argmax(axis=1) == log.chosen[starts]))


def _followed(log: ChoiceLog, model: LatePolicy, shares: FloatArray, starts: IntArray, horizon_s: float) -> _Walk:
    """Return what comes from each start where shares (n, n_arms) are followed."""
    worth = model.worth(log.features)
    follow, logged = ((each * worth).sum(axis=1) for each in (shares, log.drawn))
    taken = np.arange(len(log)), log.chosen
    ratio, expected = shares[taken] / log.drawn[taken], worth[taken]
    walk = _Walk(follow[starts], [], [])
    weight, fade, now, is_on = np.ones(len(starts)), np.ones(len(starts)), starts, np.ones(len(starts), bool)
    while is_on.any():
        step = len(walk.weights)
        if step < FOLLOWED:
            weight = np.where(is_on, np.minimum(weight * ratio[now], MOST_WEIGHT), weight)
        after = log.following[now]
        goes_on = is_on & (after >= 0) & (log.at_s[after] < log.at_s[starts] + horizon_s)
        ahead = np.where(goes_on, log.kept[now] * (follow if step + 1 < FOLLOWED else logged)[after], 0.0)
        walk.weights.append(weight)
        walk.misses.append(np.where(is_on, fade * (log.reward[now] + ahead - expected[now]), 0.0))
        fade, now, is_on = fade * log.kept[now], np.where(goes_on, after, now), goes_on
    return walk


def _better(learned: list[_Walk], usual: list[_Walk], day: IntArray) -> FloatArray:
    """Return by how much the learned policy is better from each start (n_starts,), doubly robust.

    What the model misses all day alike, as in a bad one, is no difference between policies: it is taken out of both,
    as their weights have the same mean.
    """
    value = np.concatenate([one.value - other.value for one, other in zip(learned, usual, strict=True)])
    for step in range(max(len(walk.weights) for walk in usual)):
        (weight, miss), (weight_usual, miss_usual) = _at(learned, step), _at(usual, step)
        weather = _mean_by(day, miss_usual)
        value += weight * (miss - weather) / weight.mean() - weight_usual * (miss_usual - weather) / weight_usual.mean()
    return value


def _at(walks: list[_Walk], step: int) -> tuple[FloatArray, FloatArray]:
    """Return the weights and misses of all starts (n_starts,) at a step; the last weights where all are over."""
    weight = [walk.weights[min(step, len(walk.weights) - 1)] for walk in walks]
    miss = [walk.misses[step] if step < len(walk.misses) else np.zeros(len(walk.value)) for walk in walks]
    return np.concatenate(weight), np.concatenate(miss)


def _mean_by(group: IntArray, values: FloatArray) -> FloatArray:
    """Return for each value (n,) the mean of its group."""
    _, place = np.unique(group, return_inverse=True)
    return np.asarray((np.bincount(place, values) / np.bincount(place))[place])


def _summed_up(better: FloatArray, day: IntArray, differs: BoolArray, follows: BoolArray) -> LateValue:
    mean = float(better.mean())
    _, place = np.unique(day, return_inverse=True)
    by_day = np.bincount(place, better - mean)
    many = len(by_day)
    error = float(np.sqrt(np.square(by_day).sum() * many / max(1, many - 1))) / len(better)
    freedom = max(1.0, effective_number(np.square(by_day)) - 1)
    return LateValue(mean, error, freedom, len(better), int(differs.sum()), int(follows.sum()))
