"""Trees of goals: a parent is as far as its least (AND) or its furthest (OR) child."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from storage.errors import ForeactError
from storage.records import GoalState, GoalView, Objective


@dataclass(frozen=True)
class TreeFault:
    """What is wrong with a tree: its parents go in a circle, or the parent of its topmost does not exist."""

    sentence: str
    is_circle: bool


def circles(parents: Mapping[str, str | None]) -> list[tuple[str, ...]]:
    """Return each circle that following parents leads into, as the names on it."""
    found: list[tuple[str, ...]] = []
    settled: set[str] = set()
    for start in parents:
        trail: list[str] = []
        here: str | None = start
        while here is not None and here not in settled and here not in trail:
            trail.append(here)
            here = parents.get(here)
        if here in trail:
            found.append(tuple(trail[trail.index(here) :]))
        settled.update(trail)
    return found


def tree_faults(objectives: Iterable[Objective]) -> dict[str, TreeFault]:
    """Return by the name of each objective what is wrong with its tree; those of sound trees are left out."""
    parents = _parents(objectives)
    circle_of = {name: circle for circle in circles(parents) for name in circle}
    faults: dict[str, TreeFault] = {}
    for name in parents:
        top = name
        while top not in circle_of and (above := parents[top]) in parents:
            top = str(above)
        if top in circle_of:
            ring = as_ring(circle_of[top])
            said = f"These are each other's parents: {ring}; no budget is shared among or below them"
            said += " until one `parent` is removed."
            faults[name] = TreeFault(said, is_circle=True)
        elif (missing := parents[top]) is not None:
            said = f"The objective {top} names the parent {missing!r}, which does not exist; it has no part of a budget"
            said += ", and none is shared below it, until it does."
            faults[name] = TreeFault(said, is_circle=False)
    return faults


def refuse_cycles(parents: Mapping[str, str | None], before: Mapping[str, str | None] | None = None) -> None:
    """Raise `goals.cyclic_tree` where following parents leads back to the start, and did not `before`."""
    earlier = {frozenset(circle) for circle in circles(before or {})}
    for circle in circles(parents):
        if frozenset(circle) not in earlier:
            raise ForeactError(
                "goals.cyclic_tree",
                f"These are each other's parents: {as_ring(circle)}.",
                "Remove one of these `parent` keys.",
            )


def refuse_unknown_parents(objectives: Iterable[Objective], before: Iterable[Objective] = ()) -> None:
    """Raise `goals.unknown_parent` or `goals.cyclic_tree` where objectives do not form trees.

    What was wrong `before` is none of theirs to mend.
    """
    parents, earlier = _parents(objectives), _parents(before)
    known_orphans = {(name, parent) for name, parent in earlier.items() if parent not in earlier}
    for name, parent in parents.items():
        if parent is not None and parent not in parents and (name, parent) not in known_orphans:
            raise ForeactError(
                "goals.unknown_parent",
                f"The objective {name} names the parent {parent!r}, which does not exist.",
                "Name an existing objective, or leave `parent` out.",
            )
    refuse_cycles(parents, earlier)


def _parents(objectives: Iterable[Objective]) -> dict[str, str | None]:
    return {objective.name: objective.parent for objective in objectives}


def as_ring(circle: tuple[str, ...]) -> str:
    """Return a circle in words, from its first name back to it."""
    return " → ".join([*circle, circle[0]])


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
