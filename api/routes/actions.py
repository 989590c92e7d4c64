"""Actions: what was planned and done, and a person's word on it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api import commands, queries
from api.dependencies import FacadeDep
from api.models.goals import ActionDetail, Actions, Answered
from api.models.outcomes import EstimandDetail
from api.routes.goals import AnswerDep
from handlers.drills import DrillReport
from storage.facts import DRILLS, Drill

router = APIRouter(tags=["actions"])


class Drills(BaseModel):
    """The newest drills: each action was run on its own target and undone."""

    success_ratio: float | None = Field(description="Share of drills that passed; null before the first")
    drills: list[Drill]


@router.get("/actions")
def actions(
    facade: FacadeDep,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    available: Annotated[bool, Query(description="Also list every action that there is, with its parameters")] = False,
) -> Actions:
    """Return the newest actions, newest first, with approval, intent, receipt and outcomes."""
    latest = queries.goals.latest_actions(facade, limit)
    return latest.model_copy(update={"available": queries.goals.available_actions(facade)}) if available else latest


@router.get("/actions/drills")
def drills(facade: FacadeDep) -> Drills:
    """Return the newest undo drill of each action, and the share of them that passed (`foreact doctor --drill`)."""
    report = DrillReport.of_facts(facade.store.facts.matching(DRILLS))
    return Drills(success_ratio=report.success_ratio, drills=list(report.drills))


@router.get("/actions/{action_id}")
def action(action_id: str, facade: FacadeDep) -> ActionDetail:
    """Return one action with everything recorded about it."""
    return queries.goals.action_detail(facade, commands.operator.existing(facade, action_id), facade.clock())


@router.get("/actions/{action_id}/estimand", summary="How small an effect could be told")
def estimand(action_id: str, facade: FacadeDep) -> EstimandDetail:
    """Return what one action is judged by and how small an effect could be told; of one not done yet, were it now."""
    return queries.estimands.of_action(facade, commands.operator.existing(facade, action_id))


@router.post("/actions/{action_id}/approve")
def approve_action(
    action_id: str,
    facade: FacadeDep,
    answer: AnswerDep,
    dry_run: Annotated[bool, Query(description="Only say what it would do; the action keeps waiting")] = False,
) -> Answered:
    """Approve an action, optionally with other parameters; the first answer counts."""
    if dry_run:
        return commands.operator.rehearse_action(facade, action_id, answer)
    return commands.operator.answer_action(facade, action_id, answer, approved=True)


@router.post("/actions/{action_id}/reject")
def reject_action(action_id: str, facade: FacadeDep, answer: AnswerDep) -> Answered:
    """Reject an action; the first answer counts."""
    return commands.operator.answer_action(facade, action_id, answer, approved=False)


@router.post("/actions/{action_id}/undo", status_code=202)
def undo_action(action_id: str, facade: FacadeDep, answer: AnswerDep) -> Answered:
    """Undo an action; the undo is recorded and guarded like any action."""
    return commands.operator.undo_action(facade, action_id, answer)
