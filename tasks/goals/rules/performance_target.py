"""A percentile of a metric that misses its target over a window, and still does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from storage.records import Goal, GoalType, Objective, ObjectiveKind
from tasks.goals.evidence import Evidence, Proposal, Standing
from tasks.goals.standing import gone_standing, held_clear_s, subject_of
from tasks.goals.statistics.measures import closed_ratio
from tasks.goals.statistics.tail import Tail, tail_of
from tasks.text import limit, number, percent, span, value

GOAL_TYPE = GoalType.PERFORMANCE_TARGET


def propose(evidence: Evidence) -> Iterator[Proposal]:
    """Propose a goal where more of the window lies beyond the bound than the target percentile allows."""
    for objective, series, _ in evidence.heard(ObjectiveKind.PERCENTILE):
        tail = tail_of(evidence, objective, series, 1 - objective.target_ratio)
        if tail is not None and tail.both >= objective.probability_threshold:
            yield _proposal(evidence, objective, series, tail)


def standing(goal: Goal, evidence: Evidence) -> Standing:
    """Return how the goal stands: the target percentile of the window's recent part against the bound."""
    subject = subject_of(goal, evidence)
    if isinstance(subject, Standing):
        return subject
    objective, series, _ = subject
    tail = tail_of(evidence, objective, series, 1 - objective.target_ratio)
    window = evidence.window(series, objective.window_s)
    if tail is None or window is None:
        return gone_standing("there is too little data for the percentile")
    recent, unit = tail.recent_percentile, evidence.unit_of(series)
    return Standing(
        is_met=objective.is_met(recent),
        probability=tail.recent_probability,
        approach=closed_ratio(goal.baseline, recent, objective.bound, objective.side),
        held_s=held_clear_s(window, objective.bound, objective.side),
        statement=f"{_name(objective)} of {series} was recently {value(recent, unit)}, "
        f"and should be {limit(objective.side, objective.bound, unit)}",
    )


def _name(objective: Objective) -> str:
    points = 100 * objective.target_ratio
    return f"p{number(points if objective.side == 'below' else 100 - points)}"


def _proposal(evidence: Evidence, objective: Objective, series: str, tail: Tail) -> Proposal:
    unit = evidence.unit_of(series)
    bound = limit(objective.side, objective.bound, unit)
    sentence = (
        f"Over {span(tail.span_s)}, {_name(objective)} of {series} was {value(tail.percentile, unit)} and should be "
        f"{bound}: {percent(tail.beyond_ratio)} of the values are beyond, {percent(tail.allowed_ratio)} are allowed, "
        f"and recently it was {value(tail.recent_percentile, unit)}."
    )
    return Proposal.on(
        objective,
        series,
        method="target percentile",
        description=f"Bring {_name(objective)} of {series} to {bound}",
        sentence=sentence,
        probability=tail.both,
        deadline=evidence.tick + timedelta(seconds=objective.horizon_s),
        inputs={
            "target_ratio": objective.target_ratio,
            "window_s": objective.window_s,
            "n_values": tail.n_values,
            "percentile": tail.percentile,
            "recent_percentile": tail.recent_percentile,
        },
        forecast={"probability_target_is_missed": tail.both},
        is_broken_now=True,
        baseline=tail.recent_percentile,
    )
