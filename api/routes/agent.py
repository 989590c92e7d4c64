"""The agent as a whole: status, mode, analysis."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header

from api import commands, queries
from api.dependencies import CallerDep, FacadeDep
from api.models.agent import Configuration, Mode, ModeIn, RunStarted, Status, StopIn

router = APIRouter(tags=["agent"])


@router.get("/status")
def status(facade: FacadeDep) -> Status:
    """Return the status of the agent: uptime, goals, mode, statistics."""
    return queries.agent.status(facade)


@router.get("/configuration")
def configuration(facade: FacadeDep) -> Configuration:
    """Return every setting in force, where it comes from, and its default; secrets are not shown."""
    return queries.configuration.configuration(facade)


@router.post("/mode")
def set_mode(body: ModeIn, facade: FacadeDep, caller: CallerDep) -> Mode:
    """Switch automatic actions on, or off so that the loop only recommends."""
    commands.operator.set_mode(facade, body.autonomous, caller.named(body.by), body.note)
    return queries.agent.mode(facade)


@router.post("/stop")
def stop(body: StopIn, facade: FacadeDep, caller: CallerDep) -> Mode:
    """Turn the kill switch on: no action and no undo begins, approved or not, until it is released."""
    commands.operator.set_kill_switch(facade, not body.release, caller.named(body.by), body.note)
    return queries.agent.mode(facade)


@router.post("/analysis/trigger", status_code=202)
def trigger_analysis(
    facade: FacadeDep,
    idempotency_key: Annotated[
        str | None, Header(max_length=200, description="Repeating a key returns the same run")
    ] = None,
) -> RunStarted:
    """Start a full cycle now, as a run of the deployment `cycle/cycle`; 409 while one is running."""
    started = commands.operator.start_cycle(facade, idempotency_key)
    return RunStarted(flow_run_id=started.flow_run_id, flow_run_url=started.url, deployment="cycle/cycle")
