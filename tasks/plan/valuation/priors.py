"""Beliefs where nothing has been learned: every action may help or harm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from storage.records import Candidate, FloatArray, Goal, GoalType, metric_of
from tasks.plan.problem import PlanProblem


@dataclass(frozen=True)
class PriorBeliefs:
    """The same prior for every action: no effect on average, with a wide spread; all are equally likely drawn."""

    sd: float = 0.9

    def effect(self, action: str, goal_type: GoalType) -> tuple[float, float]:
        """Return mean 0 and the prior's standard deviation."""
        return 0.0, self.sd

    def propensities(self, goal_type: GoalType, actions: Sequence[str], hour: float, seed: int) -> FloatArray:
        """Return equal shares."""
        return np.full(len(actions), 1.0 / max(len(actions), 1))


def effect_of(problem: PlanProblem, candidate: Candidate, goal: Goal) -> tuple[float, float]:
    """Return mean and sd of a candidate's effect toward a goal, in sd of its metric.

    What an action declares is the prior, and what was learned corrects it: the learner's posterior is divided by the
    prior that it started from (precision 1/`prior_effect_sd`²) and multiplied with the declared one. Without a
    declaration the learner's word stands as it is.
    """
    mean, sd = problem.beliefs.effect(candidate.action, goal.goal_type)
    declared = declared_effect(candidate, goal, problem.series_sd.get(goal.series or ""))
    if declared is None:
        return mean, sd
    declared_sd = max(0.3, 0.5 * abs(declared))
    learned = max(0.0, 1 / sd**2 - 1 / problem.prior_effect_sd**2) if sd > 0 else 1e12
    # The learner's prior is centred on zero, so its mean times its precision is what the data alone said.
    precision = 1 / declared_sd**2 + learned
    total = declared / declared_sd**2 + (mean / sd**2 if sd > 0 else mean * 1e12)
    return total / precision, precision**-0.5


def declared_effect(candidate: Candidate, goal: Goal, sd: float | None = None) -> float | None:
    """Return the effect a candidate declares on the goal's metric, in sd and positive toward the goal, or None.

    Keys are series, metrics or glob patterns of metrics; the exact name wins. A change declared in the metric's unit
    is divided by its `sd` and goes before an effect declared in sd.
    """
    change = _named(candidate.expected_change, goal)
    effect = change / sd if change is not None and sd else _named(candidate.expected_effect, goal)
    if effect is None:
        return None
    return -effect if goal.side == "below" else effect


def _named(declared: Mapping[str, float], goal: Goal) -> float | None:
    if goal.series is None:
        return None
    metric = metric_of(goal.series)
    for name in (goal.series, metric):
        if name in declared:
            return declared[name]
    return next((declared[each] for each in sorted(declared) if fnmatchcase(metric, each)), None)
