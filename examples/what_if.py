"""What would an action change? `python examples/what_if.py` asks before anybody does it.

It runs by itself in a few seconds, in a folder of its own. Of a foreact that runs, `foreact whatif` and
`GET /api/autonomous/whatif` ask the same.
"""

from __future__ import annotations

import math
import tempfile
from datetime import UTC, datetime, timedelta
from typing import Any

from flows.agent import GoalDrivenAgent
from settings import load_settings
from storage import open_store


def shed_load(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
    """Do nothing here: it is only asked about."""
    return {"success": True}


def main() -> None:
    """Record ten hours of a load that climbs, and ask about two actions in half an hour from now."""
    now = datetime(2026, 3, 2, tzinfo=UTC)

    def clock() -> datetime:
        return now

    with tempfile.TemporaryDirectory() as folder:
        objective = {"name": "load", "metric": "cpu_usage", "bound": 90}
        settings = load_settings(home=folder, use_default_objectives=False, objectives=[objective])
        agent = GoalDrivenAgent(settings=settings, store=open_store(clock=clock), clock=clock)
        agent.register_action_handler(
            "shed_load", shed_load, metrics=("cpu_usage",), expected_change={"cpu_usage": -15}
        )
        agent.register_action_handler("tidy_up", shed_load, metrics=("cpu_usage",))
        for minute in range(600):
            now += timedelta(minutes=1)
            agent.record_metric("cpu_usage", 45 + minute / 15 + 2 * math.sin(minute / 7), unit="percent")
        for action in ("shed_load", "tidy_up"):
            told = agent.what_if(action, now + timedelta(minutes=30))
            print(f"{action}: {told['sentence']}")
        agent.close()


if __name__ == "__main__":
    main()
