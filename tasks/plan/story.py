"""Tell what an amount is for: what drives the metric, and where the metric would go with it and without."""

from __future__ import annotations

import numpy as np

from storage.records import Candidate, FloatArray, GoalView, Objective
from tasks.plan.amounts import amount_of
from tasks.plan.problem import PlanProblem
from tasks.text import limit, number, span, unit_of, value

_LEVELS = (0.05, 0.95)


def named(problem: PlanProblem, candidate: Candidate) -> str:
    """Return an action with its amount and its target, as people would say it."""
    amount = candidate.params.get("amount") if problem.traits_of(candidate.action).sets else None
    to = f" to {number(amount, 3)}" if isinstance(amount, int | float) else ""
    target = candidate.target
    return candidate.action + to + (f" on {target}" if target and target != candidate.action else "")


def amount_story(problem: PlanProblem, view: GoalView, candidate: Candidate) -> str | None:
    """Return what an amount changes for a goal, in plain English; None where the candidate sets none."""
    objective = problem.objective_of(view)
    amount = amount_of(problem, objective, candidate)
    if objective is None or amount is None or objective.name not in problem.responses:
        return None
    now = problem.capacities[str(objective.capacity)]
    change = f"{objective.capacity} goes from {number(now, 3)} to {number(amount, 3)}"
    if amount > now and candidate.latency_s:
        change += f", which works after {span(candidate.latency_s)}"
    return f"{change}. {forecast_story(problem, objective, now, amount)}"


def forecast_story(problem: PlanProblem, objective: Objective, *amounts: float) -> str:
    """Return what the driver does within the horizon, and the worst of the metric at each amount."""
    driver = problem.paths.get(str(objective.driver))
    if driver is None or driver.size == 0:
        return f"Nothing is foretold of {objective.driver}."
    step_s = problem.step_s[str(objective.driver)]
    ahead = driver[:, : max(1, min(driver.shape[1], round(objective.horizon_s / step_s)))]
    worst = np.max if objective.side == "below" else np.min
    response, unit = problem.responses[objective.name], unit_of(objective.measured)
    reached = [
        f"{_range(worst(response.metric(ahead, np.array(amount)), axis=1), unit)} at {number(amount, 3)}"
        for amount in dict.fromkeys(amounts)
    ]
    extreme = "highest" if objective.side == "below" else "lowest"
    return (
        f"Within {span(ahead.shape[1] * step_s)} {objective.driver} is at its {extreme} "
        f"{_range(worst(ahead, axis=1), unit_of(str(objective.driver)))} "
        f"(90 % of the paths); {objective.measured} then reaches {', '.join(reached)}, wanted "
        f"{limit(objective.side, objective.bound, unit)}."
    )


def _range(values: FloatArray, unit: str) -> str:
    low, high = (value(float(bound), unit, digits=3) for bound in np.quantile(values, _LEVELS))
    return low if low == high else f"{low} to {high}"
