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
    """Estimate what one choice by the learned policy is worth beyond one by the planner; None where nothing tells.

    Everything after that choice goes on as it was logged, to the end of the horizon: a policy that is better at every
    single choice is better altogether (the policy improvement theorem; Sutton and Barto 2018, section 4.2), and no
    product of many weights is needed. Doubly robust (Jiang and Li 2016, arXiv:1511.03722): the value by a model, plus
    what came beyond it, weighted by how much likelier the policy was to do what was done. Model and policy are those
    learned without the fold of days that they speak of. Starts whose time is not over by `seen_until_s`, or that lie
    before `since_s`, are left out. The error is that of a mean over clusters of one day.
    """
    days = np.unique(log.day)
    is_start = (log.at_s + 2 * horizon_s <= seen_until_s) & (log.at_s >= since_s)
    if len(days) < FOLDS or not is_start.any():
        return None
    fold = (np.arange(len(days)) * FOLDS // len(days))[np.searchsorted(days, log.day)]
    parts = [
        _compared(log, fit(log, fold != each), np.flatnonzero((fold == each) & is_start), horizon_s)
        for each in range(FOLDS)
        if ((fold == each) & is_start).any()
    ]
    starts, moved, better, weight, missed = (np.concatenate(each) for each in zip(*parts, strict=True))
    better = better + weight * missed
    differs = np.abs(moved).max(axis=1) > 1e-9
    return _summed_up(better, log.day[starts], differs, differs & (moved.argmax(axis=1) == log.chosen[starts]))


_Compared = tuple[IntArray, FloatArray, FloatArray, FloatArray, FloatArray]


def _compared(log: ChoiceLog, policy: LatePolicy, starts: IntArray, horizon_s: float) -> _Compared:
    """Return the starts of one fold and, for each, what tells the learned policy from the planner there.

    That is how its shares differ (n_starts, n_arms), what that is worth by the model, the difference of both weights of
    what was done, and by how much what came missed the model, each (n_starts,).
    """
    moved = (policy.shares(log.features, log.usual) - log.usual)[starts]
    worth = policy.worth(log.features)
    weight = moved[np.arange(len(starts)), log.chosen[starts]] / log.drawn[starts, log.chosen[starts]]
    better = np.asarray((moved * worth[starts]).sum(axis=1))
    return starts, moved, better, weight, _missed(log, worth, starts, horizon_s)


def _missed(log: ChoiceLog, worth: FloatArray, starts: IntArray, horizon_s: float) -> FloatArray:
    """Return by how much what came of what was done at each start (n_starts,) was more than its worth by the model.

    Luck of the draw in later choices is taken out: they stand for the mean of what could have been drawn.
    """
    expected, logged = worth[np.arange(len(log)), log.chosen], (log.drawn * worth).sum(axis=1)
    total, fade, now, is_on = np.zeros(len(starts)), np.ones(len(starts)), starts, np.ones(len(starts), bool)
    while is_on.any():
        after = log.following[now]
        goes_on = is_on & (after >= 0) & (log.at_s[after] < log.at_s[starts] + horizon_s)
        ahead = np.where(goes_on, log.kept[now] * logged[after], 0.0)
        total = total + np.where(is_on, fade * (log.reward[now] + ahead - expected[now]), 0.0)
        fade, now, is_on = fade * log.kept[now], np.where(goes_on, after, now), goes_on
    return total


def _summed_up(better: FloatArray, day: IntArray, differs: BoolArray, follows: BoolArray) -> LateValue:
    mean = float(better.mean())
    _, place = np.unique(day, return_inverse=True)
    by_day = np.bincount(place, better - mean)
    many = len(by_day)
    error = float(np.sqrt(np.square(by_day).sum() * many / max(1, many - 1))) / len(better)
    freedom = max(1.0, effective_number(np.square(by_day)) - 1)
    return LateValue(mean, error, freedom, len(better), int(differs.sum()), int(follows.sum()))
