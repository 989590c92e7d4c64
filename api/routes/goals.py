"""Goals: what the loop set out to do."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from api import commands, queries
from api.dependencies import CallerDep, FacadeDep
from api.models.goals import Answer, Answered, GoalDetail, GoalsOverview
from api.models.proposals import ProposalIn, Proposed, Proposers
from storage.records import Decision

router = APIRouter(tags=["goals"])


def answer_of(caller: CallerDep, body: Answer | None = None) -> Answer:
    """Return an answer under the name of the caller who gives it."""
    given = body or Answer()
    return given.model_copy(update={"by": caller.named(given.by)})


AnswerDep = Annotated[Answer, Depends(answer_of)]


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
def approve_goal(goal_id: str, facade: FacadeDep, answer: AnswerDep) -> Answered:
    """Approve every action of the goal that waits for approval."""
    return commands.operator.approve_goal(facade, goal_id, answer)


@router.post("/goals/{goal_id}/cancel")
def cancel_goal(goal_id: str, facade: FacadeDep, answer: AnswerDep) -> Answered:
    """Cancel the goal and reject its waiting actions."""
    return commands.operator.cancel_goal(facade, goal_id, answer)


@router.post("/goals/{goal_id}/propose", status_code=201)
def propose(goal_id: str, body: ProposalIn, facade: FacadeDep, caller: CallerDep) -> Proposed:
    """Propose an action for an open goal; it is recorded, guarded and measured like one of the loop's own.

    What may follow from it without a person is the least of what the action may do, what the newest plan weighed, and
    what the proposer earned: approve at first, nothing once its acts were of no use. Nobody approves his own.
    """
    return commands.proposals.propose(facade, goal_id, body, caller.proposer(body.by))


@router.get("/proposers")
def proposers(facade: FacadeDep) -> Proposers:
    """Return who proposes, what their proposals may lead to now, and why."""
    return queries.proposers.proposers(facade)


@router.get("/decisions/{decision_id}")
def decision(decision_id: str, facade: FacadeDep) -> Decision:
    """Return one decision: the choice, its alternatives, its probability and the reason."""
    return queries.goals.decision(facade, decision_id)
