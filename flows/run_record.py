"""What a turn came to, where people of Prefect look: the run's name, artifacts, and events for automations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from uuid import UUID

import httpx
from prefect.artifacts import acreate_image_artifact, acreate_markdown_artifact, acreate_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.context import SyncClientContext
from prefect.events import emit_event

from flows.reports.cycle_story import CycleStory
from storage.records import NOTHING, GoalView
from tasks.context import Context


def story_of(context: Context, page: str) -> CycleStory:
    """Gather what a turn came to from the store."""
    store, cycle = context.store, context.cycle
    finished = store.actions.finished(context.tick)
    return CycleStory(
        kind=cycle.kind,
        local=context.tick.astimezone(context.zone),
        stages=store.cycles.stages(context.cycle_id),
        goals=store.goals.open(),
        acts=[each for each in finished if each.action.name != NOTHING],
        waiting=[each for each in store.actions.pending() if each.awaits_approval(context.tick)],
        page=page,
        cycle_id=context.cycle_id,
    )


async def publish(story: CycleStory, flow_run_id: str) -> None:
    """Give a run its full name, and a whole turn its summary, its board of goals and the picture of its forecasts."""
    if not flow_run_id:
        return
    async with get_client() as client:
        await client.update_flow_run(UUID(flow_run_id), name=story.name)
    if story.kind == "cycle":
        await acreate_markdown_artifact(story.markdown, key="cycle", description="What the cycle came to.")
        await acreate_table_artifact(story.board, key="goals", description="The open goals, most important first.")
        await acreate_image_artifact(story.picture, key="forecast", description="What the turn foresaw.")


def shown_at(artifact_id: UUID) -> Callable[[float], None]:
    """Return what moves a progress artifact to a percentage; one that cannot be moved now is moved the next time."""

    def show(percent: float) -> None:
        with contextlib.suppress(httpx.HTTPError), SyncClientContext.get_or_create() as prefect:
            prefect.client.update_artifact(artifact_id, ArtifactUpdate(data=percent))

    return show


def announce(context: Context, story: CycleStory, reason: str) -> None:
    """Tell Prefect what a turn came to, which goals it set and what waits, so that automations can hang on it."""
    agent = f"foreact.agent.{context.cycle.agent}"
    stages = {each["stage"]: each["summary"] for each in story.stages}
    payload = {"reason": reason, "sentence": story.sentence, **stages}
    emit_event("foreact.cycle.finished", resource={"prefect.resource.id": agent}, payload=payload)
    related = [{"prefect.resource.id": agent, "prefect.resource.role": "agent"}]
    for view in story.goals:
        if view.goal.created_at >= context.tick:
            emit_event("foreact.goal.set", resource=_goal(view), related=related, payload={"because": view.reason})
    for act in story.waiting:
        resource = {"prefect.resource.id": f"foreact.action.{act.action.action_id}", "foreact.action": act.action.name}
        said = {"title": act.action.title, "page": f"{story.page}actions/{act.action.action_id}"}
        emit_event("foreact.action.waiting", resource=resource, related=related, payload=said)


def _goal(view: GoalView) -> dict[str, str]:
    goal = view.goal
    return {
        "prefect.resource.id": f"foreact.goal.{goal.goal_id}",
        "prefect.resource.name": goal.description,
        "foreact.goal-type": str(goal.goal_type),
        "foreact.objective": goal.objective or "",
    }
