"""An amount that was above need for a while: what was scaled out comes in again while nothing burns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from storage.records import Goal, GoalType
from tasks.drivers.settable_amounts import SpareAmount
from tasks.goals.evidence import Evidence, Proposal, Standing
from tasks.goals.standing import gone_standing
from tasks.text import number

GOAL_TYPE = GoalType.COST_REDUCTION
_SEVERITY = 0.1
_AHEAD = timedelta(hours=1)
_PERIOD_S = 1_800.0


def propose(evidence: Evidence) -> Iterator[Proposal]:
    """Propose a goal per amount that can be set and was above need; it weighs little, so that others go before it."""
    for spare in evidence.spare:
        if spare.is_due:
            yield _proposal(evidence, spare)


def standing(goal: Goal, evidence: Evidence) -> Standing:
    """Return how the goal stands: done once no more can be spared, or once something needs the amount again."""
    series = str(goal.series)
    reading = evidence.latest(series)
    if reading is None:
        return gone_standing(f"{series} is no longer recorded")
    spare = next((each for each in evidence.spare if each.series == series), None)
    now = f"{series} is {number(reading.value, 3)}"
    if spare is not None:
        return Standing(False, goal.probability, 0.0, 0.0, f"{now}, and {number(spare.to, 3)} may do")
    is_lower = goal.baseline is not None and reading.value < goal.baseline
    is_well = not any(view.is_breached_now for view in evidence.breaches if view.objective == goal.objective)
    statement = f"{now}: no more of it can be spared now"
    return Standing(
        is_met=is_lower and is_well,
        probability=0.0,
        approach=1.0,
        held_s=float("inf") if is_lower and is_well else 0.0,
        statement=statement,
        is_over=True,
    )


def _proposal(evidence: Evidence, spare: SpareAmount) -> Proposal:
    return Proposal(
        cause=f"spare:{spare.series}",
        description=f"Give back what is not needed of {spare.series}: {number(spare.now, 3)} now",
        severity=_SEVERITY,
        probability=1.0,
        deadline=evidence.tick + _AHEAD,
        because={
            "rule": "amount above need",
            "sentence": f"{spare.series} is {number(spare.now, 3)} and {number(spare.to, 3)} would have done for a "
            f"while: the metric of {spare.objective} is well. It costs more than is needed until it is lowered.",
            "inputs": {"objective": spare.objective, "series": spare.series, "amount": spare.now, "enough": spare.to},
            "forecast": {},
            "is_broken_now": False,
        },
        objective=spare.objective,
        series=spare.series,
        bound=spare.to,
        side="below",
        baseline=spare.now,
        period_s=_PERIOD_S,
    )
