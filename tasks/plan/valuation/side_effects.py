"""What an action changes on metrics that it is not done for, as far as another objective limits them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from storage.records import Candidate, Goal, Objective, metric_of
from tasks.plan.problem import PlanProblem
from tasks.plan.valuation.priors import declared_change, declared_doubt, joined

_USUAL_SD = 0.3
"""How large a side effect that nobody declared usually is, in sd of the metric."""
_LEAST_SD = 0.1
"""A change in the wrong direction that counts, in sd of the metric: less is no more than the noise of many metrics."""
_ERROR_FLOOR_SD = 0.14


class SideEffect(NamedTuple):
    """What an action does to a series that an objective limits: mean and sd in sd of the series, positive toward it."""

    objective: Objective
    series: str
    mean: float
    sd: float


def times(candidate: Candidate, units: float) -> Candidate:
    """Return a candidate whose declared effects are those of one unit, as one that adds `units` of them."""
    effects = {"expected_change": candidate.expected_change, "expected_effect": candidate.expected_effect}
    scaled = {key: {name: units * each for name, each in declared.items()} for key, declared in effects.items()}
    return candidate.model_copy(update=scaled)


def harms_of(
    problem: PlanProblem, candidate: Candidate, goal: Goal, *, as_measured: bool = True
) -> Iterator[SideEffect]:
    """Yield what a candidate is believed to make worse beside a goal's own series: as declared, and as measured.

    What was measured corrects what was declared. A measured change that nobody declared is drawn toward none, the more
    so the less it stands out of its error: of many metrics some move by chance. Without `as_measured` only what is
    declared counts.
    """
    changes = problem.changes if as_measured else {}
    if not (candidate.expected_change or candidate.expected_effect or candidate.action in problem.measured_actions):
        return
    for objective, series in problem.limited:
        # What it does to the goal's own metric is its effect, on that series and on no other.
        if goal.series is not None and metric_of(series) == metric_of(goal.series):
            continue
        unit = objective.spread or problem.series_sd.get(series)
        believed = believed_change(candidate, series, unit, changes.get((candidate.action, series)))
        if believed is not None:
            mean, sd = believed
            toward = -mean if objective.side == "below" else mean
            if toward < -_LEAST_SD:
                yield SideEffect(objective, series, toward, sd)


def believed_change(
    candidate: Candidate, series: str, unit: float | None, measured: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Return mean and sd of the change of a series, positive upward; None where nothing is known of it.

    Both are in `unit`, its standard deviation; `measured` are mean and standard error in the metric's own unit.
    """
    declared = declared_change(candidate, series, unit)
    if measured is None or not unit:
        return None if declared is None else (declared, declared_doubt(declared))
    mean, error = measured[0] / unit, max(_ERROR_FLOOR_SD, measured[1] / unit)
    if declared is not None:
        return joined((declared, declared_doubt(declared)), (mean / error**2, 1 / error**2))
    # The variance of true effects that explains this one best, but no less than the usual (empirical Bayes: Efron and
    # Morris 1973, doi:10.1080/01621459.1973.10481350), so that a large effect is not drawn toward none.
    usual = max(_USUAL_SD**2, mean**2 - error**2)
    kept = usual / (usual + error**2)
    return kept * mean, float((kept * error**2) ** 0.5)
