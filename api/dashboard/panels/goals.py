"""The open goals, and what is done for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.dashboard.page_data import Page, Shown
from api.facade import Facade
from api.models.goals import ActionDetail, GoalSummary
from storage.records import Breach

PLACE = 30


@dataclass(frozen=True)
class GoalStep:
    """The newest action for a goal, and the explanation of its newest decision."""

    action: ActionDetail | None
    explanation: str


def show(page: Page) -> Shown:
    """Return the open goals, most important first."""
    steps = {each.goal_id: _step(page.facade, each.goal_id, page.actions) for each in page.goals}
    held = {each.goal_id for each in page.goals if _holds(each, page.predictions.breaches)}
    return {"status": page.status, "predictions": page.predictions, "goals": page.goals, "steps": steps, "held": held}


def _holds(goal: GoalSummary, breaches: Sequence[Breach]) -> bool:
    """Tell whether what a goal is about was looked at by the last turn, and is not broken any more."""
    own = [
        each for each in breaches if each.objective == goal.objective and each.series in (goal.series, *goal.members)
    ]
    return bool(own) and not any(each.is_breached_now for each in own)


def _step(facade: Facade, goal_id: str, actions: Sequence[ActionDetail]) -> GoalStep:
    decisions = facade.store.decisions.of_goal(goal_id, 1)
    own = [each for each in actions if each.action.goal_id == goal_id]
    # What reports is done beside what changes something, and tells less.
    newest = next((each for each in own if each.action.series), own[0] if own else None)
    return GoalStep(newest, decisions[0].explanation if decisions else "")
