"""Goals: what the loop set out to do."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from api import commands, queries
from api.facade import FacadeDep
from api.models.goals import Answer, Answered, GoalDetail, GoalsOverview
from storage.errors import ForeactError
from storage.records import Decision

router = APIRouter(tags=["goals"])


@router.get("/goals")
def goals(
    facade: FacadeDep, state: Annotated[queries.goals.GoalFilter, Query(description="Which goals")] = "open"
) -> GoalsOverview:
    """Return the active goals with type, priority and progress, most important first."""
    return queries.goals.overview(facade, state)


@router.get("/goals/{goal_id}")
def goal(goal_id: str, facade: FacadeDep) -> GoalDetail:
    """Return one goal with its reason, decisions, actions and their effects."""
    return queries.goals.detail(facade, goal_id)


@router.post("/goals/{goal_id}/approve")
def approve_goal(goal_id: str, facade: FacadeDep, body: Answer | None = None) -> Answered:
    """Approve every action of the goal that waits for approval."""
    return commands.operator.approve_goal(facade, goal_id, body or Answer())


@router.post("/goals/{goal_id}/cancel")
def cancel_goal(goal_id: str, facade: FacadeDep, body: Answer | None = None) -> Answered:
    """Cancel the goal and reject its waiting actions."""
    return commands.operator.cancel_goal(facade, goal_id, body or Answer())


@router.get("/decisions/{decision_id}")
def decision(decision_id: str, facade: FacadeDep) -> Decision:
    """Return one decision: the choice, its alternatives, its probability and the reason."""
    record = facade.store.decisions.get(decision_id)
    if record is None:
        remedy = "GET /api/autonomous/goals/{goal_id} lists the decisions of a goal."
        raise ForeactError("decision_unknown", f"There is no decision {decision_id}.", remedy, status=404)
    return record
