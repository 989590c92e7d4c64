"""Peak use of a resource that leaves too little headroom (side below), or shows it idle (side above)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from storage.records import Breach, Goal, GoalType, Objective, ObjectiveKind
from tasks.goals.evidence import Evidence, Proposal, Reading, Standing
from tasks.goals.standing import gone_standing, held_clear_s, series_standing, subject_of
from tasks.goals.statistics.measures import closed_ratio
from tasks.goals.statistics.tail import Tail, tail_of
from tasks.text import chance, limit, span, value

GOAL_TYPE = GoalType.RESOURCE_OPTIMIZATION
_PEAK = 0.95


def propose(evidence: Evidence) -> Iterator[Proposal]:
    """Propose a goal where the peak use, its 95th percentile, lies beyond the bound in the window and lately.

    Where an objective names a driver, what that foretells at the present amount decides instead.
    """
    for objective, series, reading in evidence.heard(ObjectiveKind.HEADROOM):
        breach = _driven_breach(evidence, objective, series)
        tail = tail_of(evidence, objective, series, _allowed(objective)) if breach is None else None
        if breach is not None and breach.probability >= objective.probability_threshold:
            yield _driven(evidence, objective, breach, reading)
        elif tail is not None and tail.both >= objective.probability_threshold:
            yield _proposal(evidence, objective, series, tail)


def standing(goal: Goal, evidence: Evidence) -> Standing:
    """Return how the goal stands: the recent peak use against the bound."""
    subject = subject_of(goal, evidence)
    if isinstance(subject, Standing):
        return subject
    objective, series, _ = subject
    breach = _driven_breach(evidence, objective, series)
    if breach is not None:
        return series_standing(goal, evidence, probability=breach.probability)
    tail = tail_of(evidence, objective, series, _allowed(objective))
    window = evidence.window(series, objective.window_s)
    if tail is None or window is None:
        return gone_standing("there is too little data for the peak use")
    recent, unit = tail.recent_percentile, evidence.unit_of(series)
    is_met = objective.is_met(recent)
    # A busy resource dips below its lower bound between peaks, so there the peak itself is what must hold.
    held_s = held_clear_s(window, objective.bound, "below") if objective.side == "below" else window.span_s / 12
    return Standing(
        is_met=is_met,
        probability=tail.recent_probability,
        approach=closed_ratio(goal.baseline, recent, objective.bound, objective.side),
        held_s=held_s if is_met else 0.0,
        statement=f"peak use of {series} was recently {value(recent, unit)}, "
        f"and should be {limit(objective.side, objective.bound, unit)}",
    )


def _allowed(objective: Objective) -> float:
    return 1 - _PEAK if objective.side == "below" else _PEAK


def _driven_breach(evidence: Evidence, objective: Objective, series: str) -> Breach | None:
    return evidence.breach_of(objective.name, series) if objective.driver else None


def _driven(evidence: Evidence, objective: Objective, breach: Breach, reading: Reading) -> Proposal:
    """Propose a goal where what drives a metric will leave too little headroom, or too much, at the present amount."""
    series, unit = breach.series, evidence.unit_of(breach.series)
    bound = limit(objective.side, objective.bound, unit)
    sentence = (
        f"{series} is {value(reading.value, unit)} and should be {bound}; at the present {objective.capacity}, "
        f"{objective.driver} will make it break this within {span(objective.horizon_s)} with a probability of "
        f"{chance(breach.probability)}."
    )
    return Proposal.on(
        objective,
        series,
        method="utilisation headroom by its driver",
        description=f"Bring {series} to {bound} by the amount of {objective.capacity}",
        sentence=sentence,
        probability=breach.probability,
        deadline=max(evidence.tick, breach.expected_at or evidence.tick),
        inputs={"value": reading.value, "driver": objective.driver, "capacity": objective.capacity},
        forecast={"breach_probability": breach.probability},
        is_broken_now=reading.breaks(objective),
        baseline=reading.value,
    )


def _proposal(evidence: Evidence, objective: Objective, series: str, tail: Tail) -> Proposal:
    unit = evidence.unit_of(series)
    bound = limit(objective.side, objective.bound, unit)
    trouble = "leaves too little headroom" if objective.side == "below" else "means it is mostly idle"
    sentence = (
        f"Peak use of {series} (its 95th percentile over {span(tail.span_s)}) was {value(tail.percentile, unit)}, "
        f"recently {value(tail.recent_percentile, unit)}, and should be {bound}: this {trouble}."
    )
    return Proposal.on(
        objective,
        series,
        method="utilisation headroom",
        description=f"Bring the peak use of {series} to {bound}",
        sentence=sentence,
        probability=tail.both,
        deadline=evidence.tick + timedelta(seconds=objective.horizon_s),
        inputs={
            "window_s": objective.window_s,
            "n_values": tail.n_values,
            "peak_use": tail.percentile,
            "recent_peak_use": tail.recent_percentile,
        },
        forecast={"probability_peak_stays_beyond": tail.both},
        is_broken_now=True,
        baseline=tail.recent_percentile,
    )
