"""What waits for a person, with the goal and the reasons behind it."""

from __future__ import annotations

from dataclasses import dataclass

from api.dashboard.page_data import Page, Shown
from storage.actions import ActionView
from storage.records import Decision, GoalView

PLACE = 20
MOST_SHOWN = 12


@dataclass(frozen=True)
class AwaitedApproval:
    """An action that waits for a person, with the goal and the reasons behind it."""

    view: ActionView
    goal: GoalView | None
    decision: Decision | None


def show(page: Page) -> Shown | None:
    """Return the actions that wait, or None where none does."""
    store = page.facade.store
    approvals = [
        AwaitedApproval(view, store.goals.get(view.action.goal_id), store.decisions.get(view.action.decision_id))
        for view in page.waiting[:MOST_SHOWN]
    ]
    return {"waiting": approvals, "more": len(page.waiting) - len(approvals)} if approvals else None
