"""A bound that will be broken within the horizon, or is broken now."""

from __future__ import annotations

from collections.abc import Iterator

from storage.records import Breach, Goal, GoalType, Objective, ObjectiveKind
from tasks.goals.evidence import Evidence, Proposal, Reading, Standing
from tasks.goals.standing import series_standing
from tasks.goals.statistics.measures import toward, worst_of
from tasks.text import chance, limit, moment, span, value

GOAL_TYPE = GoalType.BOTTLENECK_PREVENTION


def propose(evidence: Evidence) -> Iterator[Proposal]:
    """Propose a goal per series whose breach is likelier than the objective's threshold, or there already."""
    for objective, series, reading in evidence.heard(ObjectiveKind.BOUND):
        breach = evidence.breach_of(objective.name, series)
        is_likely = breach is not None and breach.probability >= objective.probability_threshold
        rests = objective.driver is None and is_likely and evidence.rests_on_edge(objective, series)
        is_foretold = is_likely and not rests
        if is_foretold or reading.breaks(objective):
            yield _proposal(evidence, objective, series, reading, breach)


def standing(goal: Goal, evidence: Evidence) -> Standing:
    """Return how the goal stands: the worst of now and of the forecast against the bound."""
    objective = evidence.objective(goal.objective)
    horizon_s = objective.horizon_s if objective else 3_600.0
    breach = evidence.breach_of(goal.objective or "", goal.series or "")
    worst = worst_of(evidence, goal.series, goal.side, horizon_s) if goal.series else None
    return series_standing(goal, evidence, probability=breach.probability if breach else 0.0, worst=worst)


def _proposal(
    evidence: Evidence, objective: Objective, series: str, reading: Reading, breach: Breach | None
) -> Proposal:
    foretold = None if reading.breaks(objective) else breach
    expected_at = foretold.expected_at if foretold else None
    return Proposal.on(
        objective,
        series,
        method="breach within horizon",
        description=f"Keep {series} {limit(objective.side, objective.bound, evidence.unit_of(series))}",
        sentence=_sentence(evidence, objective, series, reading, foretold),
        probability=foretold.probability if foretold else 1.0,
        deadline=max(evidence.tick, expected_at or evidence.tick),
        inputs={
            "value": reading.value,
            "horizon_s": objective.horizon_s,
            "probability_threshold": objective.probability_threshold,
        },
        forecast=_forecast_numbers(breach),
        is_broken_now=foretold is None,
        baseline=_baseline(evidence, objective, series, reading),
    )


def _baseline(evidence: Evidence, objective: Objective, series: str, reading: Reading) -> float | None:
    """Return where the way to the bound starts: the worst expected value, if that lies beyond the bound."""
    worst = worst_of(evidence, series, objective.side, objective.horizon_s)
    forecast = evidence.forecasts.get(series)
    if worst is not None and toward(worst, objective.bound, objective.side) <= 0 and forecast is not None:
        tail = forecast.quantiles[:, -1] if objective.side == "below" else forecast.quantiles[:, 0]
        worst = float(tail.max() if objective.side == "below" else tail.min())
    return worst if worst is not None else reading.value


def _sentence(evidence: Evidence, objective: Objective, series: str, reading: Reading, foretold: Breach | None) -> str:
    unit = evidence.unit_of(series)
    start = f"{series} is {value(reading.value, unit)} and should be {limit(objective.side, objective.bound, unit)}"
    if foretold is None:
        return f"{start}."
    when = f", expected at {moment(foretold.expected_at)}" if foretold.expected_at else ""
    return (
        f"{start}; within {span(objective.horizon_s)} it breaks "
        f"that with a probability of {chance(foretold.probability)}{when}."
    )


def _forecast_numbers(breach: Breach | None) -> dict[str, object]:
    if breach is None:
        return {}
    moments = {
        name: at.isoformat() if (at := getattr(breach, name)) else None
        for name in ("expected_at", "earliest_at", "latest_at")
    }
    return {"breach_probability": breach.probability, **moments}
