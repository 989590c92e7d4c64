"""The automations of foreact in Prefect: one that keeps order, and two that are ready for people to switch on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

ZOMBIES = "foreact: runs without a heartbeat have crashed"
QUIET = "foreact: a cycle when none has finished for three intervals"
REPLAY = "foreact: a backtest when a goal is set"
HEARTBEAT_TIMEOUT = timedelta(seconds=90)
ENDS = ("Completed", "Failed", "Cancelled", "Crashed", "Stopped", "Missed", "Skipped")
"""Prefect names its events after the name of a state, which ours have of their own."""

LEAST_WITHIN_S = 10.0
REPLAYED_AT_MOST_EVERY = timedelta(days=1)


async def ensure_automations(client: PrefectClient, ids: Mapping[str, UUID], interval_s: float) -> None:
    """Register all of them for deployments by name; those that people switched on stay as people left them."""
    for automation in (without_heartbeat(ids.values()), *ready(ids, interval_s)):
        if not (known := await client.read_automations_by_name(automation.name)):
            await client.create_automation(automation)
        elif automation.enabled or not known[0].enabled:
            await client.update_automation(known[0].id, automation)


def without_heartbeat(deployment_ids: Iterable[UUID]) -> AutomationCore:
    """Return what marks a run as crashed whose process does not report any more."""
    ours = [f"prefect.deployment.{deployment_id}" for deployment_id in deployment_ids]
    return AutomationCore(
        name=ZOMBIES,
        description="Marks a foreact flow run as crashed when its heartbeat stops for 90 s.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={
                "prefect.flow-run.heartbeat",
                *(f"prefect.flow-run.{end}" for end in ENDS),
            },
            match=ResourceSpecification(root={"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=ResourceSpecification(root={"prefect.resource.id": ours}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=HEARTBEAT_TIMEOUT,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="No heartbeat for 90 s.")],
    )


def ready(ids: Mapping[str, UUID], interval_s: float) -> tuple[AutomationCore, AutomationCore]:
    """Return the automations on our own events that are whole as they are and wait to be switched on."""
    quiet = AutomationCore(
        name=QUIET,
        description="Asks for a cycle when foreact.cycle.finished has not come for three intervals.",
        enabled=False,
        trigger=EventTrigger(
            after={"foreact.cycle.finished"},
            expect={"foreact.cycle.finished"},
            match=ResourceSpecification(root={"prefect.resource.id": ["foreact.agent.*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=max(LEAST_WITHIN_S, 3 * interval_s)),
        ),
        actions=[RunDeployment(source="selected", deployment_id=ids["cycle"], parameters={"reason": "quiet"})],
    )
    replay = AutomationCore(
        name=REPLAY,
        description="Replays the last week when foreact.goal.set comes, at most once a day: how often would such goals "
        "have come, and how many of them for nothing?",
        enabled=False,
        trigger=EventTrigger(
            expect={"foreact.goal.set"},
            match=ResourceSpecification(root={"prefect.resource.id": ["foreact.goal.*"]}),
            posture=Posture.Reactive,
            threshold=1,
            within=REPLAYED_AT_MOST_EVERY,
        ),
        actions=[RunDeployment(source="selected", deployment_id=ids["backtest"], parameters={"days": 7.0})],
    )
    return quiet, replay
