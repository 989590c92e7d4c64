"""An amount that costs, of which less would do for all that is to come: what was added is given back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from storage.records import Goal, GoalType
from tasks.goals.evidence import Evidence, Proposal, Standing
from tasks.goals.standing import gone_standing, subject_of
from tasks.text import number, percent, span

GOAL_TYPE = GoalType.COST_REDUCTION
_SEVERITY = 0.2


def propose(evidence: Evidence) -> Iterator[Proposal]:
    """Propose a goal where the next lesser amount keeps an objective, by all that its driver is forecast to bring."""
    for spare in evidence.spare:
        objective = evidence.objective(spare.objective)
        if objective is None:
            continue
        sentence = (
            f"{spare.capacity} is at {number(spare.now)}; with {number(spare.lesser)}, {objective.driver} would break "
            f"{objective.name} within {span(objective.horizon_s)} with a probability of {percent(spare.probability)}, "
            f"and what is not needed costs."
        )
        proposal = Proposal.on(
            objective,
            spare.series,
            method="less than this would do",
            description=f"Give back the {objective.capacity} that {objective.driver} does not need",
            sentence=sentence,
            probability=1.0 - spare.probability,
            deadline=evidence.tick + timedelta(seconds=objective.horizon_s),
            inputs={"driver": objective.driver, "capacity": spare.capacity, "now": spare.now, "lesser": spare.lesser},
            forecast={"breach_probability_with_less": spare.probability},
            is_broken_now=False,
        )
        yield replace(proposal, cause=f"spare:{spare.capacity}", severity=min(_SEVERITY, objective.severity))


def standing(goal: Goal, evidence: Evidence) -> Standing:
    """Return how the goal stands: it is met as soon as nothing is left that could be given back."""
    subject = subject_of(goal, evidence)
    if isinstance(subject, Standing):
        return subject
    objective, _, _ = subject
    spare = next((each for each in evidence.spare if each.objective == objective.name), None)
    if spare is None and objective.driver is None:
        return gone_standing("its objective no longer names a driver")
    if spare is None:
        return Standing(True, 0.0, 1.0, float("inf"), f"no {objective.capacity} is to spare")
    statement = f"{spare.capacity} is at {number(spare.now)}, and {number(spare.lesser)} would do"
    return Standing(False, 1.0 - spare.probability, 0.0, 0.0, statement)
