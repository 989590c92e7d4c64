"""What amounts cost in an hour: now, and once an act has set them."""

from __future__ import annotations

from storage.records import Candidate, GoalView, Objective
from tasks.drivers.settable_amounts import unit_cost_of
from tasks.plan.problem import PlanProblem
from tasks.plan.valuation.amounts import amount_of


def priced_amount(problem: PlanProblem, objective: Objective | None) -> tuple[str, float] | None:
    """Return the amount that serves an objective, as actions name it, and what it costs in an hour now.

    None where no action sets one for it, or nobody knows how much is there.
    """
    if objective is None:
        return None
    for action in problem.traits.values():
        if not (action.sets and action.enabled):
            continue
        step = problem.steps.get(action.sets)
        if action.sets == objective.capacity and action.sets in problem.capacities:
            return action.sets, problem.capacities[action.sets] * unit_cost_of(action)
        if step is not None and (objective.capacity == action.sets or objective.name in step.objectives):
            return action.sets, step.now * unit_cost_of(action)
    return None


def cost_after(problem: PlanProblem, view: GoalView, candidate: Candidate) -> float | None:
    """Return what an amount costs in an hour once a candidate has set it; None where it sets none."""
    action = problem.traits_of(candidate.action)
    amount = amount_of(problem, problem.objective_of(view), candidate)
    if amount is None and action.sets is not None:
        stated = candidate.params.get("amount")
        amount = float(stated) if isinstance(stated, int | float) else None
    return None if amount is None or action.sets is None else amount * unit_cost_of(action)
