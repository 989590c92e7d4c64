"""A steady trend that exhausts a capacity within days, weeks, or hours if the horizon says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from storage.records import Goal, GoalType, Objective, ObjectiveKind
from tasks.goals.evidence import Evidence, Proposal, Standing
from tasks.goals.standing import subject_of
from tasks.goals.statistics.measures import closed_ratio
from tasks.goals.statistics.trend import Trend, trend_of
from tasks.text import chance, limit, moment, span, value

GOAL_TYPE = GoalType.CAPACITY_PLANNING
_LOOK_BACK_S = 62 * 86_400.0
_RECENT_S = 6 * 3_600.0
_MIN_HISTORY_S = 2 * 3_600.0
_DAY_KNOWN_S = 2 * 86_400.0
_YOUNG_REACH_RATIO = 1.5


def propose(evidence: Evidence) -> Iterator[Proposal]:
    """Propose a goal per series that will be exhausted within the horizon, or is exhausted now."""
    for objective, series, reading in evidence.heard(ObjectiveKind.CAPACITY):
        trend = exhaustion_of(evidence, objective, series)
        is_full = reading.breaks(objective)
        probability = trend.probability(objective.horizon_s) if trend else 0.0
        if is_full or probability >= objective.probability_threshold:
            yield _proposal(evidence, objective, series, reading.value, trend, is_full)


def standing(goal: Goal, evidence: Evidence) -> Standing:
    """Return how the goal stands: the level projected to the horizon against the bound."""
    subject = subject_of(goal, evidence)
    if isinstance(subject, Standing):
        return subject
    objective, series, reading = subject
    trend = exhaustion_of(evidence, objective, series)
    projected = _projected(objective, trend, reading.value)
    probability = trend.probability(objective.horizon_s) if trend else 0.0
    unit = evidence.unit_of(series)
    is_met = objective.is_met(reading.value) and probability < objective.probability_threshold
    return Standing(
        is_met=is_met,
        probability=probability if objective.is_met(reading.value) else 1.0,
        approach=closed_ratio(goal.baseline, projected, objective.bound, objective.side),
        # A trend over hours or days does not change its mind from one cycle to the next: it needs no further hold.
        held_s=np.inf if is_met else 0.0,
        statement=f"{series} is {value(reading.value, unit)}, will reach {value(projected, unit)} within "
        f"{span(objective.horizon_s)} and should be {limit(objective.side, objective.bound, unit)}",
    )


def exhaustion_of(evidence: Evidence, objective: Objective, series: str) -> Trend | None:
    """Return the trend that reaches the bound first: that of all that is known, or a new one of the last hours.

    The recent one counts only if it is out of the ordinary, as nightly growth that a morning takes back is not.
    """
    long = evidence.window(series, _LOOK_BACK_S)
    if long is None or long.span_s < min(_MIN_HISTORY_S, objective.horizon_s / 3):
        return None
    trend = trend_of(long, objective.bound, objective.side)
    if long.span_s < _DAY_KNOWN_S:
        # Until the time of day is known a rise may be that, and turn: it is believed half as far again as it was seen.
        return replace(trend, reach_ratio=_YOUNG_REACH_RATIO) if trend else None
    recent_window = evidence.window(series, _RECENT_S)
    if recent_window is None or long.span_s < 2 * _RECENT_S or objective.horizon_s > 12 * _RECENT_S:
        return trend
    recent = trend_of(recent_window, objective.bound, objective.side)
    if recent is None or not _is_unusual(recent, long.values, long.step_s):
        return trend
    both = [each for each in (trend, recent) if each is not None]
    return max(both, key=lambda each: each.probability(objective.horizon_s))


def _is_unusual(recent: Trend, values: np.ndarray, step_s: float) -> bool:
    """Tell whether the recent growth is half as much again as any stretch of that length saw before."""
    steps = max(1, round(recent.span_s / step_s))
    before = values[: -steps or None]
    changes = np.abs(before[steps:] - before[:-steps])
    changes = changes[np.isfinite(changes)]
    return len(changes) == 0 or abs(recent.growth_per_s) * recent.span_s > 1.5 * float(changes.max())


def _projected(objective: Objective, trend: Trend | None, value: float) -> float:
    if trend is None:
        return value
    ahead_s = min(objective.horizon_s, trend.reach_s)
    beyond = trend.growth_per_s * ahead_s - trend.gap
    return objective.bound + (beyond if objective.side == "below" else -beyond)


def _proposal(
    evidence: Evidence, objective: Objective, series: str, now: float, trend: Trend | None, is_full: bool
) -> Proposal:
    probability = 1.0 if is_full or trend is None else trend.probability(objective.horizon_s)
    deadline = evidence.tick if is_full else _at(evidence.tick, trend, 0.5) or evidence.tick
    unit = evidence.unit_of(series)
    bound = limit(objective.side, objective.bound, unit)
    return Proposal.on(
        objective,
        series,
        method="trend to exhaustion",
        description=f"Make room before {series} runs out: "
        + (f"{bound} is broken now" if is_full else f"it passes {value(objective.bound, unit)} on {moment(deadline)}"),
        sentence=_sentence(evidence, objective, series, now, trend, probability),
        probability=probability,
        deadline=deadline,
        inputs={"value": now, "horizon_s": objective.horizon_s},
        forecast=_numbers(evidence.tick, trend, probability),
        is_broken_now=is_full,
        baseline=now if is_full else _projected(objective, trend, now),
    )


def _sentence(
    evidence: Evidence, objective: Objective, series: str, now: float, trend: Trend | None, probability: float
) -> str:
    tick, unit = evidence.tick, evidence.unit_of(series)
    start = f"{series} is {value(now, unit)} and should stay {limit(objective.side, objective.bound, unit)}"
    if trend is None:
        return f"{start}: it is broken now."
    per_day = value(trend.growth_per_s * 86_400, unit)
    early, late = _at(tick, trend, 0.05), _at(tick, trend, 0.95)
    between = f" {_between(moment(early), moment(late) if late else 'much later')}" if early else ""
    return (
        f"{start}; over the last {span(trend.span_s)} it came closer by {per_day} a day and runs out{between} "
        f"({chance(probability)} likely within {span(objective.horizon_s)})."
    )


def _between(early: str, late: str) -> str:
    return f"at {early}" if early == late else f"between {early} and {late}"


def _numbers(tick: datetime, trend: Trend | None, probability: float) -> dict[str, object]:
    if trend is None:
        return {"probability": probability}
    dates = {
        name: at.isoformat() if (at := _at(tick, trend, quantile)) else None
        for name, quantile in (("earliest_at", 0.05), ("expected_at", 0.5), ("latest_at", 0.95))
    }
    growth = {"growth_per_day": trend.growth_per_s * 86_400, "history_s": trend.span_s}
    return {"probability": probability, **growth, **dates}


def _at(tick: datetime, trend: Trend | None, quantile: float) -> datetime | None:
    """Return a quantile of the date, None where it is never or beyond ten years."""
    ahead_s = trend.date_s(quantile) if trend else np.inf
    return tick + timedelta(seconds=ahead_s) if ahead_s < 10 * 365 * 86_400 else None
