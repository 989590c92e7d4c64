"""A tree of services under cost budgets: each wants more of what costs by the hour; not all can have it."""

from __future__ import annotations

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from storage.records import Candidate, Objective, SharedBudget
from tasks.drivers.amount_steps import Move
from tasks.drivers.settable_amounts import AmountStep
from tasks.plan import PlanProblem, make_plans
from tasks.plan.optimise.round import prepare
from tasks.plan.planning import plannable
from tasks.plan.shares.allocate import with_shares
from tests.tasks.plan.worlds import goal_of, problem_of, safe


def cost_tree_of(seed: int) -> PlanProblem:
    """Return a seeded shop of two or three areas, each with a budget, whose services all ask for a next step."""
    rng = np.random.default_rng([19, seed])
    areas = [f"area-{i}" for i in range(int(rng.integers(2, 4)))]
    services = {f"{area}-s{i}": area for area in areas for i in range(int(rng.integers(4, 7)))}
    now = {name: float(rng.integers(1, 8)) for name in services}
    more = {name: float(rng.integers(1, 6)) for name in services}
    unit_costs = {name: float(rng.uniform(0.01, 0.05)) for name in services}
    parts = {
        name: Objective(name=name, metric=name, bound=90, severity=float(rng.uniform(0.1, 0.9)), parent=area)
        for name, area in services.items()
    }
    inner = {}
    for owner in ("shop", *areas):
        below = [name for name, area in services.items() if owner in {"shop", area}]
        wanted = sum(more[name] * unit_costs[name] for name in below) * rng.uniform(0.3, 0.8)
        budget = SharedBudget(cost=sum(now[name] * unit_costs[name] for name in below) + wanted)
        parent = None if owner == "shop" else "shop"
        inner[owner] = Objective(name=owner, metric=owner, bound=1, budget=budget, parent=parent)
    return problem_of(
        [goal_of(name, series=name, severity=parts[name].severity) for name in services],
        {name: [Candidate(action=f"scale-{name}", params={"amount": now[name] + more[name]})] for name in services},
        objectives={**parts, **inner},
        traits={
            f"scale-{name}": safe(f"scale-{name}", sets=f"{name}-servers", unit_cost=unit_costs[name])
            for name in services
        },
        steps={
            f"{name}-servers": AmountStep(
                f"{name}-servers", f"{name}-servers", now[name], now[name] + more[name], Move.RELIEVE, "needed", (name,)
            )
            for name in services
        },
        max_concurrent_goals=len(services),
        n_slots=1,
        seed=seed,
    )


class CostTree:
    """A problem's goals with what their step is worth and costs, and the budgets that each counts against."""

    def __init__(self, problem: PlanProblem) -> None:
        self.problem, self.shared = problem, with_shares(problem)
        round_ = prepare(self.shared, plannable(self.shared), {})
        columns = [round_.by_goal[view.goal.goal_id][0] for view in round_.views]
        self.names = [column.goal_id for column in columns]
        self.values = np.array([column.value for column in columns])
        self.rooms = {room.budget: room.room for room in self.shared.cost_rooms}
        self.costs = np.array([[dict(column.costs).get(budget, 0.0) for column in columns] for budget in self.rooms])

    def worth(self, names: set[str]) -> float:
        """Return what it is worth to take these steps."""
        return float(sum(value for name, value in zip(self.names, self.values, strict=True) if name in names))

    def optimum(self) -> set[str]:
        """Return the steps that are worth most together within all budgets."""
        result = milp(
            -self.values,
            constraints=LinearConstraint(self.costs, ub=list(self.rooms.values())),
            integrality=np.ones(len(self.values)),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": 1e-6},
        )
        return {name for name, taken in zip(self.names, np.asarray(result.x) > 0.5, strict=True) if taken}

    def as_shipped(self) -> set[str]:
        """Return the steps that the loop plans."""
        return {action.goal_id for action in make_plans(self.shared).actions}

    def greedy(self) -> set[str]:
        """Return the steps that fit, taken in order of what they are worth."""
        taken, left = set[str](), np.array(list(self.rooms.values()))
        for place in np.argsort(-self.values):
            if (self.costs[:, place] <= left + 1e-9).all():
                taken.add(self.names[place])
                left = left - self.costs[:, place]
        return taken

    def alone(self) -> set[str]:
        """Return the steps that fit into each child's own part of every budget: by what it uses now."""
        taken = set[str]()
        for place, name in enumerate(self.names):
            shares = [
                (next(p for p in s.parts if p.name == name), s) for s in self.shared.shares if _has(s.parts, name)
            ]
            parts = [part.used / shares.used * shares.limit - part.used for part, shares in shares]
            costs = [self.costs[row][place] for row, budget in enumerate(self.rooms) if self.costs[row][place] > 0]
            if max(costs, default=0.0) <= min(parts, default=0.0):
                taken.add(name)
        return taken


def _has(parts: tuple[object, ...], name: str) -> bool:
    return any(getattr(part, "name", "") == name for part in parts)
