"""Your own functions and flows as metrics: tracked in place, and run by name with the agent's predictions at hand.

    python examples/observed_flow.py

Each call becomes a duration, a failure flag and an event. It runs in a folder of its own and needs no running stack.
"""

from __future__ import annotations

import asyncio
import tempfile
from typing import Any

from flows.agent import GoalDrivenAgent
from flows.observe import AgentRecorder, OrchestratorWithAutonomousAgent, observed
from settings import load_settings, utc_now
from storage import ForeactError, open_store


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        agent = GoalDrivenAgent(settings=load_settings(home=folder), store=open_store())
        track_in_place(agent)
        asyncio.run(run_by_name(agent))
        tell(agent)
        agent.close()


def track_in_place(agent: GoalDrivenAgent) -> None:
    """Observe a function where it stands; without `recorder` it writes to the configured store."""

    @observed(name="nightly-import", recorder=AgentRecorder(agent))
    def import_rows(count: int) -> int:
        if count > 100:
            raise ValueError("too many rows at once")
        return count

    for count in (10, 60, 500):
        try:
            print(f"imported {import_rows(count)} rows")
        except ValueError as trouble:
            print(f"import failed: {trouble}; that is on record as well")


async def run_by_name(agent: GoalDrivenAgent) -> None:
    """Run a registered agent: it finds what is predicted and which goals are open in its context."""
    orchestrator = OrchestratorWithAutonomousAgent(agent=agent)

    async def plan_a_project(task_description: str, context: dict[str, Any]) -> str:
        caution = "carefully" if context["goals"] else "at ease"
        return f"{task_description}: {caution}, for project {context['project_id']}"

    orchestrator.register_agent("planning_agent", plan_a_project)
    run = await orchestrator.execute_with_autonomous_behavior(
        agent_name="planning_agent", task_description="Plan project timeline", context={"project_id": "123"}
    )
    print(run["result"])
    try:
        await orchestrator.execute_with_autonomous_behavior("writing_agent", "Write it down")
    except ForeactError as refusal:
        print(f"refused ({refusal.code}): {refusal}")


def tell(agent: GoalDrivenAgent) -> None:
    """Show what is now on record, ready to be forecast and to have objectives."""
    for info in agent.store.samples.spans(utc_now().replace(year=2000), utc_now()):
        print(f"{info.series}: {info.count} value(s)")


if __name__ == "__main__":
    main()
