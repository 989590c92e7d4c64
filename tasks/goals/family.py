"""What goals mean for each other: children for their parent, and one that acts for one that only informs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from storage.records import GoalState, GoalView, Transition
from tasks.goals.changes import Declined
from tasks.goals.evidence import Evidence
from tasks.goals.policy import GoalPolicy
from tasks.objectives.tree import as_ring, circles, counts_for_parent, tree_progress

_WAITS = "waits for"

Moves = dict[str, Transition | None]


def with_children(
    open_goals: Sequence[GoalView], closed: Sequence[GoalView], moves: Moves, evidence: Evidence, policy: GoalPolicy
) -> tuple[Moves, list[Declined]]:
    """Return where open goals move to once their children are taken into account, and what is amiss with the tree.

    `moves` are the transitions by their own measurement. A goal whose children must all be achieved (AND) waits for
    them, and fails with one that failed; one of which any child is enough (OR) is achieved with the first. Progress is
    that of the tree. Goals that are each other's parents have none, and that is said.
    """
    views = {view.goal.goal_id: view for view in [*closed, *open_goals]}
    parents = {goal_id: _parent(view, views, evidence) for goal_id, view in views.items()}
    found = circles(parents)
    parents |= dict.fromkeys((goal_id for circle in found for goal_id in circle), None)
    now = {goal_id: _after(view, moves.get(goal_id), parents[goal_id]) for goal_id, view in views.items()}
    children: dict[str, list[str]] = {}
    for goal_id, parent in parents.items():
        if parent is not None and counts_for_parent(now[goal_id]):
            children.setdefault(parent, []).append(goal_id)
    for goal_id in _leaves_first(parents):
        if goal_id in children and goal_id in moves:
            own, mine = now[goal_id], [now[child] for child in children[goal_id]]
            state, reason = _joint(own, mine)
            now[goal_id] = own.model_copy(update={"state": state, "reason": reason})
    progress = tree_progress(now.values())
    return {
        goal_id: _joint_move(views[goal_id], now[goal_id], progress[goal_id], evidence, policy)
        if goal_id in children
        else move
        for goal_id, move in moves.items()
    }, [
        Declined("tree", f"These are each other's parents: {as_ring(circle)}. Each is pursued separately.")
        for circle in found
    ]


def leads_to_act(view: GoalView, goals: Sequence[GoalView]) -> bool:
    """Tell whether a goal among `goals` may lead to an act.

    One that only informs may where an objective calls for an act too: where another goal of its objective, set by the
    probability of a breach or by a budget, is open for the same series.
    """
    goal = view.goal
    if not goal.informs:
        return True
    others = (each.goal for each in goals if each.is_open and not each.goal.informs)
    return goal.objective is not None and any(
        other.objective == goal.objective and (goal.series is None or other.is_about(goal.objective, goal.series))
        for other in others
    )


def _parent(view: GoalView, views: Mapping[str, GoalView], evidence: Evidence) -> str | None:
    """Return the goal's parent: the one it names, or the open goal of the objective that its objective names."""
    if view.goal.parent_id in views:
        return view.goal.parent_id
    objective = evidence.objective(view.goal.objective)
    if objective is None or objective.parent is None or not view.is_open:
        return None
    same = (each.goal.goal_id for each in views.values() if each.is_open and each.goal.objective == objective.parent)
    return next(same, None)


def _after(view: GoalView, move: Transition | None, parent: str | None) -> GoalView:
    goal = view.goal.model_copy(update={"parent_id": parent})
    if move is None:
        return view.model_copy(update={"goal": goal})
    return view.model_copy(update={"goal": goal, "state": move.state, "progress": move.progress, "reason": move.reason})


def _leaves_first(parents: Mapping[str, str | None]) -> list[str]:
    def depth(goal_id: str) -> int:
        parent = parents[goal_id]
        return 0 if parent is None else 1 + depth(parent)

    return sorted(parents, key=depth, reverse=True)


def _joint(own: GoalView, children: Sequence[GoalView]) -> tuple[GoalState, str]:
    """Return the state of a parent by its own measurement and its children's."""
    achieved = [child for child in children if child.state is GoalState.ACHIEVED]
    if own.goal.composition == "or":
        if achieved and own.is_open:
            return GoalState.ACHIEVED, f"one part is enough, and this one was achieved: {_named(achieved[0])}"
        return own.state, own.reason
    if own.state is not GoalState.ACHIEVED:
        return own.state, own.reason
    failed = [child for child in children if child.state is GoalState.FAILED]
    if failed:
        return GoalState.FAILED, f"all parts are needed, and this one failed: {_named(failed[0])}"
    still = [child for child in children if child.is_open]
    if still:
        # Without figures that change every turn: each new reason is a row of the goal's history.
        return GoalState.ACTIVE, f"its own objective holds; it {_WAITS} {len(still)} of its parts: {_named(still[0])}"
    return own.state, own.reason


def _named(view: GoalView) -> str:
    return view.goal.description


def _joint_move(
    before: GoalView, now: GoalView, progress: float, evidence: Evidence, policy: GoalPolicy
) -> Transition | None:
    progress = 1.0 if now.state is GoalState.ACHIEVED else min(0.99, progress)
    is_told = now.state is before.state and (_WAITS not in now.reason or now.reason == before.reason)
    if is_told and abs(progress - before.progress) < policy.progress_step:
        return None
    return Transition(
        goal_id=before.goal.goal_id, state=now.state, at=evidence.tick, reason=now.reason, progress=progress
    )
