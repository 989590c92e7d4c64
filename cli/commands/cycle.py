"""`foreact cycle`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.options import Json, settings_here, tell

if TYPE_CHECKING:
    from settings import Settings

EXAMPLE = "foreact cycle"


def run(json: Json = False) -> None:
    """Run one cycle now, in the stack or, if none runs, here."""
    from cli import show
    from cli.client import desk

    settings = settings_here()
    with desk(settings) as ask:
        if ask.is_live:
            started = ask.post("/analysis/trigger")
            tell(started, json, lambda: show.say(f"flow run {started['flow_run_id']}: {started['flow_run_url']}"))
            return
    _cycle_here(settings, json)


def _cycle_here(settings: Settings, json: bool) -> None:
    from cli import show
    from flows.agent import GoalDrivenAgent

    agent = GoalDrivenAgent(settings=settings)
    try:
        overview = agent.run_cycle()
    finally:
        agent.close()
    tell(overview, json, lambda: show.goals(overview))
