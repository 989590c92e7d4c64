"""Trees of goals: a parent is as far as its least (AND) or its furthest (OR) child."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from storage.errors import ForeactError
from storage.records import GoalState, GoalView, Objective


def refuse_cycles(parents: Mapping[str, str | None]) -> None:
    """Raise `goals.cyclic_tree` where following parents leads back to the start."""
    settled: set[str] = set()
    for start in parents:
        trail: list[str] = []
        here: str | None = start
        while here is not None and here not in settled:
            if here in trail:
                ring = " → ".join([*trail[trail.index(here) :], here])
                raise ForeactError(
                    "goals.cyclic_tree",
                    f"These are each other's parents: {ring}.",
                    "Remove one of these `parent` keys.",
                )
            trail.append(here)
            here = parents.get(here)
        settled.update(trail)


def refuse_unknown_parents(objectives: Iterable[Objective]) -> None:
    """Raise `goals.unknown_parent` or `goals.cyclic_tree` where objectives do not form trees."""
    parents = {objective.name: objective.parent for objective in objectives}
    for name, parent in parents.items():
        if parent is not None and parent not in parents:
            raise ForeactError(
                "goals.unknown_parent",
                f"The objective {name} names the parent {parent!r}, which does not exist.",
                "Name an existing objective, or leave `parent` out.",
            )
    refuse_cycles(parents)


def tree_progress(views: Iterable[GoalView]) -> dict[str, float]:
    """Return every goal's progress with that of its children: the least for AND, the furthest for OR.

    A parent's own progress counts as one more child. Children given up (cancelled, superseded, expired) do not count.
    Raises `goals.cyclic_tree`.
    """
    views_by_id = {view.goal.goal_id: view for view in views}
    refuse_cycles({goal_id: view.goal.parent_id for goal_id, view in views_by_id.items()})
    children: dict[str, list[str]] = {}
    for goal_id, view in views_by_id.items():
        if view.goal.parent_id in views_by_id and counts_for_parent(view):
            children.setdefault(str(view.goal.parent_id), []).append(goal_id)
    done: dict[str, float] = {}

    def progress(goal_id: str) -> float:
        if goal_id not in done:
            view = views_by_id[goal_id]
            own = 1.0 if view.state is GoalState.ACHIEVED else view.progress
            parts = [own, *(progress(child) for child in children.get(goal_id, ()))]
            done[goal_id] = max(parts) if view.goal.composition == "or" else min(parts)
        return done[goal_id]

    return {goal_id: progress(goal_id) for goal_id in views_by_id}


def counts_for_parent(view: GoalView) -> bool:
    """Tell whether a child says anything about its parent: one that was given up does not."""
    return view.state not in {GoalState.CANCELLED, GoalState.SUPERSEDED, GoalState.EXPIRED}
