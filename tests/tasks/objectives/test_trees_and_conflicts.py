"""Goals that belong together, and goals that cannot all be had."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import ForeactError
from storage.records import Goal, GoalState, GoalType, GoalView, Objective, ObjectiveKind
from tasks.objectives.conflicts import conflicts, contradictions
from tasks.objectives.tree import refuse_cycles, refuse_unknown_parents, tree_progress
from tests.tasks.goals.worlds import TICK


def view(
    name: str, progress: float = 0.0, parent: str | None = None, how: str = "and", state: GoalState = GoalState.ACTIVE
) -> GoalView:
    return GoalView(
        goal=goal(name, parent_id=parent, composition=how), state=state, progress=progress, reason="", since=TICK
    )


def goal(name: str, **more: object) -> Goal:
    fields: dict[str, object] = {
        "goal_id": name,
        "goal_type": GoalType.BOTTLENECK_PREVENTION,
        "description": name,
        "cause": name,
        "series": "m",
        "bound": 10.0,
        "severity": 0.5,
        "probability": 0.5,
        "urgency": 0.5,
        "priority": 0.1,
        "created_at": TICK,
        "deadline": TICK + timedelta(hours=1),
    }
    return Goal.model_validate(fields | more)


class TestTrees:
    def test_an_and_parent_is_as_far_as_its_least_child(self) -> None:
        tree = [view("p", 1.0), view("a", 0.9, "p"), view("b", 0.3, "p")]
        assert tree_progress(tree)["p"] == 0.3

    def test_an_or_parent_is_as_far_as_its_furthest_child(self) -> None:
        tree = [view("p", 0.1, how="or"), view("a", 0.9, "p"), view("b", 0.3, "p")]
        assert tree_progress(tree)["p"] == 0.9

    def test_progress_climbs_through_several_generations(self) -> None:
        tree = [view("p", 1.0), view("q", 0.2, "p", how="or"), view("a", 0.7, "q")]
        assert tree_progress(tree) == {"p": 0.7, "q": 0.7, "a": 0.7}

    @pytest.mark.parametrize("state", [GoalState.CANCELLED, GoalState.SUPERSEDED, GoalState.EXPIRED])
    def test_children_given_up_do_not_hold_their_parent_back(self, state: GoalState) -> None:
        tree = [view("p", 0.8), view("a", 0.0, "p", state=state)]
        assert tree_progress(tree)["p"] == 0.8

    def test_an_achieved_child_counts_whole(self) -> None:
        tree = [view("p", 0.8), view("a", 0.4, "p", state=GoalState.ACHIEVED)]
        assert tree_progress(tree)["p"] == 0.8

    def test_a_ring_of_goals_is_refused_by_name(self) -> None:
        with pytest.raises(ForeactError, match="a → b → a") as refusal:
            tree_progress([view("a", parent="b"), view("b", parent="a")])
        assert refusal.value.code == "goals.cyclic_tree"
        assert refusal.value.remedy

    def test_a_goal_that_is_its_own_parent_is_refused(self) -> None:
        with pytest.raises(ForeactError, match="a → a"):
            refuse_cycles({"a": "a"})

    def test_objectives_in_a_ring_or_with_an_unknown_parent_are_refused(self) -> None:
        ring = [Objective(name=n, metric="m", bound=1, parent=p) for n, p in (("a", "b"), ("b", "a"))]
        with pytest.raises(ForeactError, match="each other's parents"):
            refuse_unknown_parents(ring)
        with pytest.raises(ForeactError, match="which does not exist"):
            refuse_unknown_parents([Objective(name="a", metric="m", bound=1, parent="nobody")])

    @given(st.lists(st.integers(0, 8), min_size=1, max_size=9))
    def test_every_graph_of_parents_is_either_refused_or_has_roots(self, raw: list[int]) -> None:
        parents = {str(child): str(parent) if parent < len(raw) else None for child, parent in enumerate(raw)}
        try:
            refuse_cycles(parents)
        except ForeactError:
            return
        for start in parents:
            here: str | None = start
            for _ in range(len(parents) + 1):
                here = parents[here] if here is not None else None
            assert here is None


class TestConflicts:
    def test_goals_that_pull_one_metric_both_ways_are_named(self) -> None:
        (found,) = conflicts([goal("low", side="below", bound=10.0), goal("high", side="above", bound=5.0)])
        assert (found.left, found.right, found.metric) == ("low", "high", "m")
        assert not found.is_contradiction

    def test_goals_that_can_never_both_hold_are_a_contradiction(self) -> None:
        (found,) = conflicts([goal("low", side="below", bound=10.0), goal("high", side="above", bound=20.0)])
        assert found.is_contradiction
        assert "is impossible" in found.statement

    def test_goals_on_different_series_or_of_one_side_are_at_peace(self) -> None:
        assert conflicts([goal("a"), goal("b", series="n", side="above"), goal("c", bound=20.0)]) == ()

    def test_contradictory_objectives_are_found_over_series_and_their_metric(self) -> None:
        whole = Objective(name="low", metric="disk", side="below", bound=10)
        one = Objective(name="high", metric='disk{mount="/"}', side="above", bound=20)
        (found,) = contradictions([whole, one])
        assert "no value is both under 10 and over 20" in found.statement

    def test_a_band_between_two_bounds_is_no_contradiction(self) -> None:
        band = [
            Objective(name="low", metric="m", side="below", bound=20),
            Objective(name="high", metric="m", side="above", bound=10),
        ]
        assert contradictions(band) == ()

    def test_peak_use_and_a_bound_leave_room_for_each_other(self) -> None:
        mixed = [
            Objective(name="low", metric="m", side="below", bound=0.3),
            Objective(name="idle", metric="m", kind=ObjectiveKind.HEADROOM, side="above", bound=0.5),
        ]
        assert contradictions(mixed) == ()
