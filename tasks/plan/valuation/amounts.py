"""Value candidates that set an amount: by the plan of amounts over time that begins with them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from handlers import ActionHandler
from storage.records import BoolArray, Candidate, FloatArray, GoalType, GoalView, Objective
from tasks.drivers.backlog import BacklogResponse
from tasks.drivers.responses import backlog_of, on_grid
from tasks.drivers.settable_amounts import unit_cost_of
from tasks.plan.problem import PlanProblem
from tasks.plan.valuation.amount_backlog import BacklogFutures, few_of, levels_for, plan_backlog
from tasks.plan.valuation.amount_schedule import (
    AmountPlan,
    AmountRules,
    losses_of_metric,
    plan_amounts,
    stage_losses,
)

_MAX_STEPS = 48
_SURELY_SERVED = 0.9
_LEAST_STAY = 0.25


@dataclass(frozen=True)
class AmountValues:
    """What each amount is worth to a goal; `step_s` is the length of the plan's steps."""

    plan: AmountPlan
    step_s: float
    change_cost: float

    @property
    def now(self) -> float:
        """Return the amount in force."""
        return float(self.plan.amounts[self.plan.now])

    def gains(self, problem: PlanProblem, amount: float) -> FloatArray:
        """Return what going to an amount saves per slot (n_slots,), its own cost not yet charged.

        -inf where it is out of reach, and for the present amount: staying is doing nothing.
        """
        gain_by_slot = np.full(problem.n_slots, -np.inf)
        gains = self.plan.gains(amount)
        if amount != self.now and np.isfinite(gains).all():
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
    first, most_cost = offers[0][0], min(each.cost for each, _ in offers)
    traits = problem.traits_of(first.action)
    seen_s = problem.capacity_latency_s.get(str(own.capacity))
    ups = [
        latency_of(problem.traits_of(each.action), each.latency_s, seen_s) for each, amount in offers if amount > now
    ]
    rules = AmountRules(
        latency_steps=math.ceil(max(ups, default=0.0) / step_s),
        unit_cost=unit_cost_of(traits) if view.goal.goal_type is GoalType.COST_REDUCTION else traits.unit_cost,
        change_cost=most_cost * steps,
        most_up=traits.most_up,
    )
    grid = PlanGrid(amounts, step_s, steps)
    plan = _plan(problem, view, own, grid, now, rules)
    if view.goal.goal_type is GoalType.COST_REDUCTION:
        # To give back is one matter; to provide for what comes is that of a goal with a breach to prevent.
        plan = plan.without(amounts > now)
    return AmountValues(plan, step_s, most_cost)


@dataclass(frozen=True)
class PlanGrid:
    """The amounts and steps that a plan looks at."""

    amounts: FloatArray
    step_s: float
    steps: int


def latency_of(traits: ActionHandler, said_s: float, seen_s: float | None) -> float:
    """Return how long an increase takes to work: as configured, or else as it was seen, at least as the action says."""
    return said_s if "latency_s" in traits.configured or seen_s is None else max(said_s, seen_s)


def _plan(
    problem: PlanProblem, view: GoalView, own: Objective, grid: PlanGrid, now: float, rules: AmountRules
) -> AmountPlan:
    """Return the plan on the losses of all objectives on a capacity; what waits for it is carried from step to step."""
    sharing = [
        each
        for each in problem.objectives.values()
        if each.capacity == own.capacity and each.name in problem.responses and _has_driver(problem, each)
    ]
    severities = {each.name: problem.weighed(each) for each in sharing}
    severities[own.name] = max(problem.weighed(own), problem.severity_of(view))
    queues = {each.name: queue for each in sharing if (queue := backlog_of(problem.responses[each.name])) is not None}
    losses = np.zeros((grid.steps, len(grid.amounts)))
    for objective in sharing:
        if objective.name not in queues:
            losses += severities[objective.name] * _losses(problem, objective, grid)
    against = _against(problem, grid, sharing, severities, now, rules)
    if not queues:
        return plan_amounts(losses, grid.amounts, now, rules).without(against)
    main = next(each for each in sorted(sharing, key=lambda each: each.name != own.name) if each.name in queues)
    alike = [each for each in sharing if each.name in queues and each.driver == main.driver]
    futures = _futures(problem, grid, queues[main.name], [(each, queues[each.name]) for each in alike], severities)
    # What is not chosen now can be chosen a round later: a backlog that grows meanwhile has to be reckoned with.
    # And a change has to earn a quarter of the horizon's cost of one unit: chance would else move it to and fro.
    least_worth = rules.unit_cost * grid.steps * _LEAST_STAY
    late = replace(rules, latency_steps=_soon(problem, grid, rules), change_cost=max(rules.change_cost, least_worth))
    plan = plan_backlog(futures, losses, grid.amounts, now, late)
    waiting = [(each, queues[each.name]) for each in sharing if each.name in queues]
    needed, safe = (max(_least(problem, *each, grid, rules, share=share) for each in waiting) for share in (0.5, 0.9))
    reachable = np.isfinite(plan.to_go).all(axis=0)
    # Where what arrives is out of reach, the most there is must do. To give back takes more than to be enough: were it
    # the same, chance would move the amount up and down.
    too_few = grid.amounts < np.where(grid.amounts < now, safe, min(needed, grid.amounts[reachable].max()))
    return plan.without(against | too_few)


def _against(
    problem: PlanProblem,
    grid: PlanGrid,
    sharing: Sequence[Objective],
    severities: Mapping[str, float],
    now: float,
    rules: AmountRules,
) -> BoolArray:
    """Tell which amounts move against a breach: they make a bound worse that is broken until the next choice works.

    Losses end at two sd beyond a bound; were this not forbidden, where all is lost the cheapest amount would be best.
    What mends a breach of at least the same weight may do so.
    """
    worse, better = np.zeros(len(grid.amounts)), np.zeros(len(grid.amounts))
    here = int(np.argmin(np.abs(grid.amounts - now)))
    for each in sharing:
        response = on_grid(problem.responses[each.name], grid.step_s)
        paths = _driver_means(problem, each, grid)
        soon = paths[few_of(paths), : _soon(problem, grid, rules)]
        reached = np.array([float(response.metric(soon, np.array(amount)).mean()) for amount in grid.amounts])
        excess = reached - each.bound if each.side == "below" else each.bound - reached
        is_worse = (excess > 0) & (excess > excess[here] + 1e-9)
        is_better = (excess[here] > 0) & (excess < excess[here] - 1e-9)
        worse = np.maximum(worse, np.where(is_worse, severities[each.name], 0.0))
        better = np.maximum(better, np.where(is_better, severities[each.name], 0.0))
    return (worse > 0) & (worse >= better)


def _soon(problem: PlanProblem, grid: PlanGrid, rules: AmountRules) -> int:
    """Return in how many steps what is chosen next time will work."""
    return max(1, rules.latency_steps + math.ceil(problem.cycle_s / grid.step_s))


def _futures(
    problem: PlanProblem,
    grid: PlanGrid,
    queue: BacklogResponse,
    objectives: Sequence[tuple[Objective, BacklogResponse]],
    severities: Mapping[str, float],
) -> BacklogFutures:
    """Return the futures of a backlog, with the losses of all objectives that look at it."""
    paths = _driver_means(problem, objectives[0][0], grid)
    paths = paths[few_of(paths)]
    flow, waiting = paths * grid.step_s, float(queue.waiting)
    own = queue.on_grid(grid.step_s)
    objective = objectives[0][0]
    typical = abs(objective.bound) / own.scale * (max(float(paths.mean()), 1e-9) if own.is_age else 1.0)
    levels = levels_for(typical, waiting + float(flow.sum(axis=1).max()))
    losses = np.zeros((*paths.shape, len(levels)))
    for each, its in objectives:
        metric = its.on_grid(grid.step_s).levels(paths, levels)
        losses += severities[each.name] * losses_of_metric(metric, each.bound, each.side, _spread(problem, each))
    return BacklogFutures(flow, queue.rate * grid.amounts * grid.step_s, waiting, levels, losses)


def _least(
    problem: PlanProblem,
    objective: Objective,
    queue: BacklogResponse,
    grid: PlanGrid,
    rules: AmountRules,
    *,
    share: float,
) -> float:
    """Return the amount that serves what arrives until the next choice works, and what waits within the plan.

    `share` of the paths bring no more in any of these steps; what a unit serves is known to a tenth or so.
    """
    soon = _driver_means(problem, objective, grid)[:, : _soon(problem, grid, rules)]
    ahead = float(np.quantile(soon.max(axis=1), share))
    waiting = float(queue.waiting) / (grid.steps * grid.step_s)
    return (max(ahead, float(queue.arriving)) + waiting) / max(_SURELY_SERVED * queue.rate, 1e-12)


def _grid(problem: PlanProblem, objective: Objective) -> tuple[float, int]:
    """Return length and number of the plan's steps: the driver's own, or as many of them together as leave 48."""
    driver = problem.paths.get(str(objective.driver))
    if driver is None or driver.size == 0:
        return 1.0, 0
    step_s = problem.step_s[str(objective.driver)]
    steps = min(driver.shape[1], max(1, round(objective.horizon_s / step_s)))
    size = -(-steps // _MAX_STEPS)
    return step_s * size, steps // size


def _has_driver(problem: PlanProblem, objective: Objective) -> bool:
    driver = problem.paths.get(str(objective.driver))
    return driver is not None and driver.size > 0


def _driver_means(problem: PlanProblem, objective: Objective, grid: PlanGrid) -> FloatArray:
    """Return the driver's paths (n_paths, n_steps) on the grid; the last step stands for what is not forecast."""
    driver = problem.paths[str(objective.driver)]
    size = max(1, round(grid.step_s / problem.step_s[str(objective.driver)]))
    count = min(grid.steps, driver.shape[1] // size)
    means = driver[:, : count * size].reshape(len(driver), count, size).mean(axis=2)
    return np.concatenate([means, np.repeat(means[:, -1:], grid.steps - count, axis=1)], axis=1)


def _spread(problem: PlanProblem, objective: Objective) -> float:
    return objective.spread or problem.series_sd.get(objective.measured) or max(abs(objective.bound), 1.0) * 0.1


def _losses(problem: PlanProblem, objective: Objective, grid: PlanGrid) -> FloatArray:
    means, response = _driver_means(problem, objective, grid), problem.responses[objective.name]
    return stage_losses(means, grid.amounts, response, objective.bound, objective.side, _spread(problem, objective))
