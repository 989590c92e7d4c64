"""An amount that was above need for a while: what was scaled out comes in again while nothing burns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from storage.records import Goal, GoalType
from tasks.drivers.settable_amounts import SpareAmount
from tasks.goals.evidence import Evidence, Proposal, Standing
from tasks.goals.standing import gone_standing
from tasks.goals.statistics.measures import held_for_s
from tasks.text import number

GOAL_TYPE = GoalType.COST_REDUCTION
_SEVERITY = 0.1
_AHEAD = timedelta(days=1)
_LOOK_S = 86_400.0
_STABLE_S = 3_600.0
_PERIOD_S = 1_800.0


def propose(evidence: Evidence) -> Iterator[Proposal]:
    """Propose a goal per amount that can be set and was above need; it weighs little, so that others go before it."""
    for spare in evidence.spare:
        if spare.is_due:
            yield _proposal(evidence, spare)


def standing(goal: Goal, evidence: Evidence) -> Standing:
    """Return how the goal stands: done once no more can be spared and the amount stays, over once it rises again.

    What is given back step by step, with pauses, is one goal.
    """
    series = str(goal.series)
    reading = evidence.latest(series)
    if reading is None:
        return gone_standing(f"{series} is no longer recorded")
    spare = next((each for each in evidence.spare if each.series == series), None)
    now = f"{series} is {number(reading.value, 3)}"
    if spare is not None:
        return Standing(False, goal.probability, 0.0, 0.0, f"{now}, and {number(spare.to, 3)} may do")
    is_well = not any(view.is_breached_now for view in evidence.breaches if view.objective == goal.objective)
    is_raised = goal.baseline is not None and reading.value > goal.baseline
    is_lower = goal.baseline is not None and reading.value < goal.baseline
    unchanged_s = _unchanged_s(evidence, series, reading.value)
    is_vain = not is_lower and (evidence.tick - goal.created_at).total_seconds() >= _STABLE_S
    return Standing(
        is_met=is_lower and is_well,
        probability=0.0,
        approach=1.0,
        held_s=unchanged_s if unchanged_s >= _STABLE_S else 0.0,
        statement=f"{now}: {'it is needed again' if is_raised else 'no more of it can be spared now'}",
        is_over=is_raised or is_vain or not is_well,
    )


def _unchanged_s(evidence: Evidence, series: str, value: float) -> float:
    """Return for how long an amount has been what it is."""
    window = evidence.window(series, _LOOK_S)
    return 0.0 if window is None else min(held_for_s(window, value, "below"), held_for_s(window, value, "above"))


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
