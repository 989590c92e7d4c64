"""A bound that will be broken within the horizon, or is broken now."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from storage.records import Breach, Goal, GoalType, Objective, ObjectiveKind
from tasks.goals.evidence import Evidence, Proposal, Reading, Standing
from tasks.goals.standing import series_standing
from tasks.goals.statistics.measures import toward, worst_of
from tasks.text import limit, moment, percent, span, value

GOAL_TYPE = GoalType.BOTTLENECK_PREVENTION


def propose(evidence: Evidence) -> Iterator[Proposal]:
    """Propose a goal per series whose breach is likelier than the objective's threshold, or there already."""
    for objective in evidence.objectives:
        if objective.kind is ObjectiveKind.BOUND:
            for series in evidence.series_of(objective):
                proposal = _of_series(evidence, objective, series)
                if proposal is not None:
                    yield proposal


def standing(goal: Goal, evidence: Evidence) -> Standing:
    """Return how the goal stands: the worst of now and of the forecast against the bound."""
    objective = evidence.objective(goal.objective)
    horizon_s = objective.horizon_s if objective else 3_600.0
    breach = evidence.breach_of(goal.objective or "", goal.series or "")
    worst = worst_of(evidence, goal.series, goal.side, horizon_s) if goal.series else None
    return series_standing(goal, evidence, probability=breach.probability if breach else 0.0, worst=worst)


def _of_series(evidence: Evidence, objective: Objective, series: str) -> Proposal | None:
    breach = evidence.breach_of(objective.name, series)
    reading = evidence.latest(series)
    if reading is None or reading.is_silent:
        return None
    is_broken = reading.breaks(objective)
    is_likely = breach is not None and breach.probability >= objective.probability_threshold
    if not (is_broken or is_likely):
        return None
    probability = 1.0 if is_broken or breach is None else breach.probability
    deadline = _deadline(evidence, objective, breach, is_broken)
    unit = evidence.unit_of(series)
    return Proposal(
        goal_type=GOAL_TYPE,
        cause=f"{GOAL_TYPE.value}:{objective.name}:{series}",
        description=f"Keep {series} {limit(objective.side, objective.bound, unit)}",
        severity=objective.severity,
        probability=probability,
        deadline=deadline,
        objective=objective.name,
        series=series,
        bound=objective.bound,
        side=objective.side,
        baseline=_baseline(evidence, objective, series, reading),
        because=_because(objective, series, unit, reading, breach, is_broken),
    )


def _deadline(evidence: Evidence, objective: Objective, breach: Breach | None, is_broken: bool) -> datetime:
    if is_broken or breach is None:
        return evidence.tick
    return max(evidence.tick, breach.expected_at or evidence.tick)


def _baseline(evidence: Evidence, objective: Objective, series: str, reading: Reading) -> float | None:
    """Return where the way to the bound starts: the worst expected value, if that lies beyond the bound."""
    worst = worst_of(evidence, series, objective.side, objective.horizon_s)
    forecast = evidence.forecasts.get(series)
    if worst is not None and toward(worst, objective.bound, objective.side) <= 0 and forecast is not None:
        tail = forecast.quantiles[:, -1] if objective.side == "below" else forecast.quantiles[:, 0]
        worst = float(tail.max() if objective.side == "below" else tail.min())
    return worst if worst is not None else reading.value


def _because(
    objective: Objective, series: str, unit: str, reading: Reading, breach: Breach | None, is_broken: bool
) -> dict[str, object]:
    wanted, now = limit(objective.side, objective.bound, unit), value(reading.value, unit)
    if is_broken:
        sentence = f"{series} is {now} and should be {wanted}."
    else:
        assert breach is not None
        when = f", expected at {moment(breach.expected_at)}" if breach.expected_at else ""
        sentence = (
            f"{series} is {now} and should be {wanted}; it will break this within {span(objective.horizon_s)} "
            f"with a probability of {percent(breach.probability)}{when}."
        )
    return {
        "rule": "breach within horizon",
        "sentence": sentence,
        "inputs": {
            "objective": objective.name,
            "series": series,
            "value": reading.value,
            "bound": objective.bound,
            "side": objective.side,
            "horizon_s": objective.horizon_s,
            "probability_threshold": objective.probability_threshold,
        },
        "forecast": _forecast_numbers(breach),
        "is_broken_now": is_broken,
    }


def _forecast_numbers(breach: Breach | None) -> dict[str, object]:
    if breach is None:
        return {}
    moments = {
        name: at.isoformat() if (at := getattr(breach, name)) else None
        for name in ("expected_at", "earliest_at", "latest_at")
    }
    return {"breach_probability": breach.probability, **moments}
