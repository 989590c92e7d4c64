"""The open goals, and what is done for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.dashboard.page_data import Page, Shown
from api.facade import Facade
from api.models.goals import ActionDetail

PLACE = 30


@dataclass(frozen=True)
class GoalStep:
    """The newest action for a goal, and the explanation of its newest decision."""

    action: ActionDetail | None
    explanation: str


def show(page: Page) -> Shown:
    """Return the open goals, most important first."""
    steps = {each.goal_id: _step(page.facade, each.goal_id, page.actions) for each in page.goals}
    return {"status": page.status, "predictions": page.predictions, "goals": page.goals, "steps": steps}


def _step(facade: Facade, goal_id: str, actions: Sequence[ActionDetail]) -> GoalStep:
    decisions = facade.store.decisions.of_goal(goal_id, 1)
    newest = next((each for each in actions if each.action.goal_id == goal_id), None)
    return GoalStep(newest, decisions[0].explanation if decisions else "")
