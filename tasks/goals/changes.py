"""What a cycle changes about the goals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from storage.records import Goal, GoalView, Transition
from tasks.goals.evidence import Standing


@dataclass(frozen=True)
class Declined:
    """A proposal that became no goal, and why."""

    cause: str
    reason: str


@dataclass(frozen=True)
class GoalChanges:
    """New goals, where goals moved to (in order; new ones included), what was declined, and how open goals stand."""

    new: tuple[Goal, ...] = ()
    transitions: tuple[Transition, ...] = ()
    declined: tuple[Declined, ...] = ()
    standings: Mapping[str, Standing] = field(default_factory=dict)

    def views(self, open_goals: Iterable[GoalView]) -> tuple[GoalView, ...]:
        """Return all goals touched or open before, as they stand after the changes."""
        views = {view.goal.goal_id: view for view in open_goals}
        goals = {goal.goal_id: goal for goal in self.new}
        for move in self.transitions:
            view_before = views.get(move.goal_id)
            goal = view_before.goal if view_before else goals[move.goal_id]
            since = view_before.since if view_before and view_before.state is move.state else move.at
            views[move.goal_id] = GoalView(
                goal=goal, state=move.state, progress=move.progress, reason=move.reason, since=since
            )
        return tuple(views.values())
