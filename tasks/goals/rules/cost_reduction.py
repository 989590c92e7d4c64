"""A month that will end above its budget at the present rate of spending."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np

from storage.records import Goal, GoalType, Objective, ObjectiveKind
from tasks.goals.evidence import Evidence, Proposal, Standing
from tasks.goals.standing import gone_standing, subject_of
from tasks.goals.statistics.budget import Projection, month_of, project
from tasks.goals.statistics.measures import closed_ratio
from tasks.text import chance, moment, number, span

GOAL_TYPE = GoalType.COST_REDUCTION


def propose(evidence: Evidence) -> Iterator[Proposal]:
    """Propose a goal per spend series whose calendar month (UTC) is projected to end above the budget, the bound.

    A metric named `..._per_hour` (second, minute, day) is a spend rate, any other a cumulative spend.
    """
    for objective, series, reading in evidence.heard(ObjectiveKind.BUDGET):
        projection = project(evidence, series)
        if projection is not None and projection.probability(objective.bound) >= objective.probability_threshold:
            yield _proposal(evidence, objective, series, projection, reading.value)


def standing(goal: Goal, evidence: Evidence) -> Standing:
    """Return how the goal stands: the month's projection against the budget."""
    subject = subject_of(goal, evidence)
    if isinstance(subject, Standing):
        return subject
    objective, series, _ = subject
    projection = project(evidence, series)
    if projection is None:
        return gone_standing("there is too little data to project the month")
    probability = projection.probability(objective.bound)
    is_met = projection.projected <= objective.bound
    baseline = goal.because.get("forecast", {}).get("projected_spend")
    return Standing(
        is_met=is_met,
        probability=probability,
        approach=closed_ratio(baseline, projection.projected, objective.bound, "below"),
        # The projection moves by the hour, not by the cycle: it needs no further hold.
        held_s=np.inf if is_met else 0.0,
        statement=f"the month will end near {number(projection.projected)}; the budget is {number(objective.bound)}",
        is_over=month_of(goal.created_at) != month_of(evidence.tick),
    )


def _proposal(evidence: Evidence, objective: Objective, series: str, projection: Projection, value: float) -> Proposal:
    probability = projection.probability(objective.bound)
    deadline = evidence.tick + timedelta(hours=projection.exhausted_in_hours(objective.bound))
    kind = "a spend rate" if projection.rate_unit_s is not None else "a cumulative spend"
    month_end = month_of(evidence.tick)[1]
    unseen = (
        f" ({span(projection.unseen_hours * 3_600)} of it not recorded and assumed at the mean)"
        if projection.unseen_hours >= 1.5
        else ""
    )
    sentence = (
        f"{series}, {kind}, is at {number(projection.spent)} so far this month{unseen} and adds "
        f"{number(projection.rate_per_hour)} an hour, so {number(projection.projected)} by "
        f"{moment(month_end)}; the budget is {number(objective.bound)} and is used up by {moment(deadline)}."
    )
    proposal = Proposal.on(
        objective,
        series,
        method="month-end projection",
        description=f"Keep the month's {series} within {number(objective.bound)}: "
        f"{chance(probability)} likely to end near {number(projection.projected)}",
        sentence=sentence,
        probability=probability,
        deadline=deadline,
        inputs={
            "metric_is": kind,
            "budget": objective.bound,
            "spent": projection.spent,
            "unseen_hours": projection.unseen_hours,
        },
        forecast={
            "projected_spend": projection.projected,
            "standard_error": projection.standard_error,
            "rate_per_hour": projection.rate_per_hour,
            "probability": probability,
            "month_end_at": month_end.isoformat(),
        },
        is_broken_now=projection.spent > objective.bound,
        baseline=value,
    )
    return replace(proposal, bound=projection.sustainable(objective.bound), side="below")
