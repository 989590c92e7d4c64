"""Value candidates that set an amount: by the plan of amounts over time that begins with them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from storage.records import Candidate, FloatArray, GoalType, GoalView, Objective
from tasks.drivers.settable_amounts import unit_cost_of
from tasks.plan.problem import PlanProblem
from tasks.plan.valuation.amount_schedule import AmountPlan, AmountRules, plan_amounts, stage_losses

_MAX_STEPS = 48


@dataclass(frozen=True)
class AmountValues:
    """What each amount is worth to a goal; `step_s` is the length of the plan's steps."""

    plan: AmountPlan
    step_s: float
    change_cost: float

    def gains(self, problem: PlanProblem, amount: float) -> FloatArray:
        """Return what going to an amount saves per slot (n_slots,), its own cost not yet charged.

        -inf where it is out of reach, and for the present amount: staying is doing nothing.
        """
        gain_by_slot = np.full(problem.n_slots, -np.inf)
        gains = self.plan.gains(amount)
        if amount != self.plan.amounts[self.plan.now] and np.isfinite(gains).all():
            steps = np.arange(problem.n_slots) * problem.slot_s / self.step_s
            planned = steps < len(gains)
            # Between steps it falls or rises evenly: were it flat, waiting would seem to cost nothing.
            gain_by_slot[planned] = np.interp(steps[planned], np.arange(len(gains)), gains) + self.change_cost
        return gain_by_slot


def amount_of(problem: PlanProblem, objective: Objective | None, candidate: Candidate) -> float | None:
    """Return the amount of an objective's capacity that a candidate sets; None where it sets none."""
    if objective is None or objective.capacity is None:
        return None
    if problem.traits_of(candidate.action).sets == objective.capacity:
        stated = candidate.params.get("amount")
    else:
        stated = candidate.evidence.get("capacity_after")
    try:
        amount = float(stated) if stated is not None else math.nan
    except (TypeError, ValueError):
        return None
    return amount if math.isfinite(amount) else None


def amount_values(problem: PlanProblem, view: GoalView) -> AmountValues | None:
    """Return the values of all amounts that a goal's candidates offer; None where its objective is not driven.

    Every objective on the same capacity is in the losses, each on its own driver: what idles against what is late.
    """
    own = problem.objective_of(view)
    now = problem.capacities.get(own.capacity or "") if own is not None else None
    if own is None or now is None or own.name not in problem.responses:
        return None
    offers = [
        (each, amount)
        for each in problem.candidates.get(view.goal.goal_id, ())
        if (amount := amount_of(problem, own, each)) is not None
    ]
    amounts = np.unique([now, *(amount for _, amount in offers)])
    step_s, steps = _grid(problem, own)
    if not offers or steps == 0:
        return None
    losses = np.zeros((steps, len(amounts)))
    for objective in problem.objectives.values():
        if objective.capacity == own.capacity and objective.name in problem.responses:
            severity = view.goal.severity if objective.name == own.name else objective.severity
            # A goal to save weighs little, and what it must not break as much as ever.
            losses += max(severity, objective.severity) * _losses(problem, objective, amounts, step_s, steps)
    first, most_cost = offers[0][0], min(each.cost for each, _ in offers)
    traits = problem.traits_of(first.action)
    ups = [each.latency_s for each, amount in offers if amount > now]
    rules = AmountRules(
        latency_steps=math.ceil(max(ups, default=0.0) / step_s),
        unit_cost=unit_cost_of(traits) if view.goal.goal_type is GoalType.COST_REDUCTION else traits.unit_cost,
        change_cost=most_cost * steps,
        most_up=traits.most_up,
    )
    return AmountValues(plan_amounts(losses, amounts, now, rules), step_s, most_cost)


def _grid(problem: PlanProblem, objective: Objective) -> tuple[float, int]:
    """Return length and number of the plan's steps: the driver's own, or as many of them together as leave 48."""
    driver = problem.paths.get(str(objective.driver))
    if driver is None or driver.size == 0:
        return 1.0, 0
    step_s = problem.step_s[str(objective.driver)]
    steps = min(driver.shape[1], max(1, round(objective.horizon_s / step_s)))
    size = -(-steps // _MAX_STEPS)
    return step_s * size, steps // size


def _losses(problem: PlanProblem, objective: Objective, amounts: FloatArray, step_s: float, steps: int) -> FloatArray:
    driver = problem.paths.get(str(objective.driver))
    if driver is None or driver.size == 0:
        return np.zeros((steps, len(amounts)))
    size = max(1, round(step_s / problem.step_s[str(objective.driver)]))
    count = min(steps, driver.shape[1] // size)
    means = driver[:, : count * size].reshape(len(driver), count, size).mean(axis=2)
    response = problem.responses[objective.name]
    sd = objective.spread or problem.series_sd.get(objective.measured) or max(abs(objective.bound), 1.0) * 0.1
    losses = stage_losses(means, amounts, response, objective.bound, objective.side, sd)
    # Beyond a shorter forecast the last step stands for what follows.
    return np.concatenate([losses, np.repeat(losses[-1:], steps - count, axis=0)])
