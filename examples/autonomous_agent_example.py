"""A walk through the agent: initialise, record, goals, execution, insights, report.

    python examples/autonomous_agent_example.py

It runs by itself in a few seconds, in a folder of its own, and touches nothing on this machine.
"""

from __future__ import annotations

import math
import tempfile
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.agent import GoalDrivenAgent
from settings import load_settings
from storage import open_store

STEP = timedelta(minutes=1)


class Clock:
    """Ten hours of a busy day, told in seconds."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class Database:
    """The system to be looked after: its CPU climbs until somebody optimises it."""

    def __init__(self) -> None:
        self.minute = 0
        self.optimised_at: int | None = None

    def cpu_usage(self) -> float:
        self.minute += 1
        wave = 2 * math.sin(self.minute / 7)
        climb = 45 + self.minute / 12
        return climb + wave - (25 if self.optimised_at is not None else 0)

    def optimize(self, params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        """An action in the form of the original interface: parameters and goal in, success and impact out."""
        self.optimised_at = self.minute
        return {"success": True, "impact": {"cpu_usage": -0.2}}


def main() -> None:
    clock, database = Clock(), Database()
    with tempfile.TemporaryDirectory() as folder:
        walk_through(clock, database, folder)


def walk_through(clock: Clock, database: Database, folder: str) -> None:
    print("1. Initialise: an agent with its configuration, here with a clock and a store of its own.")
    settings = load_settings(
        home=folder,
        agent={"autonomous_mode": True, "analysis_interval_minutes": 30},
        executor={"execution_interval_seconds": 60, "measure_horizon_seconds": 3_600, "holdout_ratio": 0},
        forecasting={"goal_setter": {"auto_goal_setting": True, "max_active_goals": 10}},
    )
    store = open_store(clock=clock)
    agent = GoalDrivenAgent(settings=settings, store=store, clock=clock)
    agent.actions.clear()
    agent.register_action_handler(
        "optimize_database",
        database.optimize,
        goal_types=("BOTTLENECK_PREVENTION",),
        metrics=("cpu_usage",),
        expected_effect={"cpu_usage": -2.0},
        risk="low",
        cooldown_s=7_200,
    )

    print("2. Record metrics and events, a turn of the loop every half hour.")
    for minute in range(1, 901):
        clock.now += STEP
        agent.record_metric("cpu_usage", database.cpu_usage(), unit="percent")
        if minute % 30 == 0:
            agent.record_event("api_request", metadata={"endpoint": "/users"})
        if minute >= 60 and minute % 30 == 0:
            agent.run_cycle()

    print("3. Goals it set for itself, and why.")
    for view in reversed(store.goals.all()):
        goal = view.goal
        print(f"   {goal.created_at:%H:%M} {goal.goal_type}: {goal.description}")
        print(f"         because {goal.because['sentence']} It is now {view.state}.")

    print("4. What it did about them.")
    for action in store.actions.latest(20):
        status = action.receipt.status if action.receipt else "waiting"
        print(f"   {action.action.name}: {status}")

    print("5. What it learned.")
    for outcome in store.outcomes.targets():
        interval = "no interval" if outcome.low is None else f"90 % interval {outcome.low:.1f} to {outcome.high:.1f}"
        print(f"   {outcome.action} changed {outcome.series}: {outcome.verdict} ({interval})")
    for name, learned in agent.executor.get_learning_insights()["action_success_rates"].items():
        print(f"   {name}: {learned['rate']:.0%}")

    print("6. The report.")
    report = agent.get_comprehensive_report()
    print(f"   Goals created: {report['agent_status']['statistics']['goals_created']}")
    print(f"   Predicted state: {report['forecasting_report']['prediction']['predicted_state']}")
    print(f"   Success rate of actions: {report['executor_state']['statistics']['success_rate']:.0%}")
    agent.close()


if __name__ == "__main__":
    main()
