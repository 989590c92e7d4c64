"""Beliefs where nothing has been learned: every action may help or harm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from storage.records import Candidate, Goal, metric_of
from tasks.plan.problem import PlanProblem

BROUGHT_BACK_RATIO, ENTRUSTED_RATIO = 0.5, 0.75
"""Of how far a metric stands out: what an action that was never measured is believed to take off."""


@dataclass(frozen=True)
class PriorBeliefs:
    """The same prior for every action: no effect on average, with a wide spread."""

    sd: float = 0.9

    def effect(self, action: str, goal: Goal, target: str) -> tuple[float, float]:
        """Return mean 0 and the prior's standard deviation."""
        return 0.0, self.sd

    def doubt_before(self, action: str, goal: Goal, target: str) -> float:
        """Return the prior's standard deviation."""
        return self.sd


def effect_of(problem: PlanProblem, candidate: Candidate, goal: Goal) -> tuple[float, float]:
    """Return mean and sd of a candidate's effect toward a goal, in sd of its metric.

    What an action declares is the prior, and what was learned corrects it: the learner's posterior is divided by the
    prior that it started from and multiplied with the declared one. Without a declaration the learner's word stands as
    it is, unless the metric stands out of all that is usual: whoever listed an action for it means that it brings the
    metric back, and half-way is what is believed at first. More is believed of what a person has done unasked although
    it cannot be undone: nobody does so with what may as well be useless. A sequence does what its steps do alone, and
    what each pair of them was learned to add.
    """
    if candidate.steps:
        alone = [effect_of(problem, step, goal) for step in candidate.steps]
        return problem.pair_beliefs.together(goal.goal_type, [step.action for step in candidate.steps], alone)
    mean, sd = problem.beliefs.effect(candidate.action, goal, candidate.target)
    declared = declared_effect(candidate, goal, problem.series_sd.get(goal.series or ""))
    is_entrusted = _is_entrusted(problem, candidate)
    if declared is None and goal.goal_id in problem.off_usual_sd:
        ratio = ENTRUSTED_RATIO if is_entrusted else BROUGHT_BACK_RATIO
        declared = ratio * problem.off_usual_sd[goal.goal_id]
    if declared is None and not is_entrusted:
        return mean, sd
    before = problem.beliefs.doubt_before(candidate.action, goal, candidate.target)
    learned = max(0.0, 1 / sd**2 - 1 / before**2) if sd > 0 else 1e12
    prior = (before, before) if declared is None else (declared, declared_doubt(declared))
    # The learner's prior is centred on zero, so its mean times its precision is what the data alone said.
    return joined(prior, (mean / sd**2 if sd > 0 else mean * 1e12, learned))


def _is_entrusted(problem: PlanProblem, candidate: Candidate) -> bool:
    """Tell whether a person lets an action be done unasked although it cannot be undone."""
    traits = problem.traits_of(candidate.action)
    return not traits.reversible and traits.configured_level == "auto"


def declared_doubt(declared: float) -> float:
    """Return the standard deviation of a declared effect, both in sd of the metric."""
    return max(0.3, 0.5 * abs(declared))


def joined(prior: tuple[float, float], data: tuple[float, float]) -> tuple[float, float]:
    """Return mean and sd of an effect from its prior (mean, sd) and what data say (precision × mean, precision)."""
    weight = 1 / prior[1] ** 2
    precision = weight + data[1]
    return (prior[0] * weight + data[0]) / precision, precision**-0.5


def declared_effect(candidate: Candidate, goal: Goal, sd: float | None = None) -> float | None:
    """Return the effect a candidate declares on the goal's metric, in sd and positive toward the goal, or None.

    Keys are series, metrics or glob patterns of metrics; the exact name wins. A change declared in the metric's unit
    is divided by its `sd` and goes before an effect declared in sd.
    """
    effect = None if goal.series is None else declared_change(candidate, goal.series, sd)
    if effect is None:
        return None
    return -effect if goal.side == "below" else effect


def declared_change(candidate: Candidate, series: str, sd: float | None) -> float | None:
    """Return the change of a series that a candidate declares, in sd and positive upward, or None; as above."""
    change = _named(candidate.expected_change, series)
    return change / sd if change is not None and sd else _named(candidate.expected_effect, series)


def _named(declared: Mapping[str, float], series: str) -> float | None:
    metric = metric_of(series)
    for name in (series, metric):
        if name in declared:
            return declared[name]
    return next((declared[each] for each in sorted(declared) if fnmatchcase(metric, each)), None)
