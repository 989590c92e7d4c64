"""Who may be broken, when an error budget runs short? Three services under one shop, planned as the loop plans them.

Run it with `python examples/shared_budget.py`.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from handlers import ActionsByName, elsewhere
from storage.records import Autonomy, Candidate, Goal, GoalState, GoalType, GoalView, Objective, SharedBudget
from tasks.plan import PlanProblem, make_plans
from tasks.plan.shares.allocate import with_shares
from tasks.plan.valuation.priors import PriorBeliefs

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
COSTS = {"checkout": 0.28, "search": 0.15, "cart": 0.25}


def goal(name: str) -> GoalView:
    """Return the goal to keep a service's latency: it is broken now."""
    wanted = Goal(
        goal_id=name, goal_type=GoalType.BOTTLENECK_PREVENTION, description=f"Keep {name}", cause=name,
        objective=name, series=name, bound=200.0, severity=0.3, probability=1.0, urgency=1.0, priority=0.3,
        created_at=NOW, deadline=NOW,
    )  # fmt: skip
    return GoalView(goal=wanted, state=GoalState.ACTIVE, progress=0.0, reason="", since=NOW)


def hour(minutes: float, used: dict[str, float], names: tuple[str, ...]) -> PlanProblem:
    """Return what the loop would plan: all three will be slow for half of the hour, `names` can be mended at a cost."""
    slow = np.where(np.arange(60) < 30, 320.0, 120.0)[None, :].repeat(40, axis=0)
    shop = Objective(
        name="shop", metric="orders", bound=0, side="above", severity=0.9, budget=SharedBudget(minutes=minutes)
    )
    parts = [Objective(name=name, metric=name, bound=200, severity=0.3, parent="shop", spread=100) for name in COSTS]
    mend = elsewhere("mend", risk="low", reversible=True, expected_change={"*": -200.0})
    return PlanProblem(
        tick=NOW,
        cycle_id="example",
        seed=1,
        goals=tuple(goal(name) for name in COSTS),
        objectives={each.name: each for each in (shop, *parts)},
        candidates={
            name: (Candidate(action="mend", target=name, cost=COSTS[name], expected_effect={name: -2.0}),)
            for name in names
        },
        beliefs=PriorBeliefs(),
        paths=dict.fromkeys(COSTS, slow),
        step_s=dict.fromkeys(COSTS, 60.0),
        series_sd=dict.fromkeys(COSTS, 100.0),
        traits=ActionsByName({"mend": mend}),
        levels={(GoalType.BOTTLENECK_PREVENTION, "mend"): Autonomy.AUTO},
        used_minutes={("shop", name): minutes for name, minutes in used.items()},
        nothing_floor=0.0,
        explore=False,
    )


def tell(title: str, problem: PlanProblem) -> None:
    """Print how the budget is shared and what is done."""
    shared = with_shares(problem)
    acts = [f"mend {action.target}" for action in make_plans(shared).actions]
    print(f"{title}\n  {shared.shares[0].sentence}\n  It does: {', '.join(acts) or 'nothing'}")


def main() -> None:
    """Print three hours: with plenty left, with little left, and with a service that nothing can help."""
    everyone = tuple(COSTS)
    tell("Plenty is left:", hour(120, {}, everyone))
    tell("Little is left:", hour(120, {"checkout": 38, "cart": 32}, everyone))
    tell("Nothing can help search:", hour(120, {"checkout": 38, "cart": 32}, ("checkout", "cart")))


if __name__ == "__main__":
    main()
