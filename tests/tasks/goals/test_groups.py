"""Series of one objective that are broken alike are one goal; it follows its members until all of them hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.records import GoalState, GoalType, GoalView, Objective
from tasks.goals import leads_to_act
from tasks.goals.changes import GoalChanges
from tasks.goals.evidence import Evidence
from tasks.goals.groups import FEWEST_MEMBERS, told
from tasks.goals.setting import set_goals
from tests.tasks.goals.worlds import TICK, closed_after, evidence_of, frame_of, open_after

PODS = Objective(name="pod-cpu", metric="pod_cpu", bound=90, severity=0.6, horizon_s=3_600)


def pod(number: int) -> str:
    return f'pod_cpu{{pod="p{number:02d}"}}'


def seen(values: Mapping[int, float | np.ndarray], minute: float = 0) -> Evidence:
    """Return evidence of pods by number, each at one value for an hour or as it was."""
    rows = {pod(number): np.broadcast_to(value, 100) for number, value in values.items()}
    return evidence_of(PODS, rows, tick=TICK + timedelta(minutes=minute))


def of_fifty_two(broken: Mapping[int, float | np.ndarray], minute: float = 0) -> Evidence:
    return seen(dict.fromkeys(range(52), 50.0) | dict(broken), minute)


def turn(
    evidence: Evidence, before: list[GoalView], closed: list[GoalView] | None = None, most: int = 10
) -> GoalChanges:
    return set_goals(evidence, before, closed or [], max_active_goals=most, cycle_id=evidence.tick.isoformat())


FORTY = {number: 95.0 + (number == 7) for number in range(40)}


def test_forty_pods_broken_alike_are_one_goal_with_forty_members_on_the_worst_of_them() -> None:
    (goal,) = turn(of_fifty_two(FORTY), []).new
    assert goal.description.startswith("40 of 52 pods: keep pod_cpu ")
    assert set(goal.members) == {pod(number) for number in range(40)}
    assert (goal.series, goal.members[0]) == (pod(7), pod(7))
    assert goal.because["sentence"].startswith("40 of 52 pods call for this at once")
    assert goal.priority == pytest.approx(goal.probability * goal.severity * goal.urgency)


def test_a_few_are_told_one_by_one() -> None:
    few = dict.fromkeys(range(FEWEST_MEMBERS - 1), 95.0)
    assert [goal.series for goal in turn(of_fifty_two(few), []).new] == [pod(number) for number in few]


def test_a_goal_that_grows_from_four_members_to_forty_stays_one_goal() -> None:
    opened = open_after(turn(of_fifty_two(dict.fromkeys(range(4), 95.0)), []))
    changes = turn(of_fifty_two(FORTY, minute=5), opened)
    assert changes.new == ()
    (view,) = open_after(changes, opened)
    assert view.goal.goal_id == opened[0].goal.goal_id
    standing = changes.standings[view.goal.goal_id]
    assert standing.statement.startswith(f"40 of 40 pods still miss it; the worst: {pod(7)} is 96 ")


def test_the_member_to_act_on_stays_the_same_until_it_holds() -> None:
    (view,) = open_after(turn(of_fifty_two(FORTY), []))
    for minute, worst in enumerate((3, 20, 35), start=1):
        evidence = of_fifty_two(FORTY | {worst: 99.0}, minute)
        assert turn(evidence, [view]).standings[view.goal.goal_id].series == pod(7)
    healed = {number: value for number, value in FORTY.items() if number != 7}
    assert turn(of_fifty_two(healed, 10), [view]).standings[view.goal.goal_id].series == view.goal.members[1]


def test_pods_that_break_one_after_the_other_become_one_goal_too() -> None:
    views: list[GoalView] = []
    for count in range(1, 9):
        evidence = of_fifty_two(dict.fromkeys(range(count), 95.0), minute=count)
        views = open_after(turn(evidence, views), views)
    (view,) = views
    assert len(view.goal.members) == FEWEST_MEMBERS
    assert view.goal.created_at == TICK + timedelta(minutes=FEWEST_MEMBERS)


def test_goals_that_join_say_so_and_free_their_places() -> None:
    three = dict.fromkeys(range(3), 95.0)
    opened = open_after(turn(of_fifty_two(three), [], most=3))
    changes = turn(of_fifty_two(FORTY, minute=5), opened, most=3)
    assert len(changes.new) == 1
    ended = closed_after(changes, opened)
    assert {view.state for view in ended} == {GoalState.SUPERSEDED}
    assert all("it is part of one goal now: 40 of 52 pods" in view.reason for view in ended)


def test_it_is_achieved_when_the_last_member_holds_and_not_before() -> None:
    opened = open_after(turn(of_fifty_two(FORTY), []))
    one_left = of_fifty_two({3: 95.0}, minute=60)
    views = open_after(turn(one_left, opened), opened)
    assert [view.state for view in views] == [GoalState.ACTIVE]
    assert turn(one_left, opened).standings[opened[0].goal.goal_id].series == pod(3)
    changes = turn(of_fifty_two({}, minute=120), views)
    assert [view.state for view in closed_after(changes, views)] == [GoalState.ACHIEVED]


def test_a_silent_member_is_no_good_news() -> None:
    opened = open_after(turn(of_fifty_two(FORTY), []))
    fell_silent = np.concatenate([np.full(60, 95.0), np.full(40, np.nan)])
    (view,) = open_after(turn(of_fifty_two({3: fell_silent}, minute=60), opened), opened)
    assert view.state is GoalState.BLOCKED
    assert "1 of 40 pods are silent" in view.reason


def test_pods_that_wobble_after_their_goal_raise_none_of_their_own() -> None:
    opened = open_after(turn(of_fifty_two(FORTY), []))
    done = closed_after(turn(of_fifty_two({}, minute=120), opened), opened)
    wobble = np.concatenate([np.full(98, 89.9), np.full(2, 95.0)])
    changes = turn(of_fifty_two({1: wobble}, minute=125), [], done)
    assert changes.new == ()
    assert "must be clear" in changes.declined[0].reason


def test_a_level_that_forty_pods_shifted_to_is_one_goal_that_informs() -> None:
    from storage.records import Pattern

    def shift(number: int) -> Pattern:
        evidence = {"at_s": TICK.timestamp() - 7_200, "before": 30.0, "after": 60.0 + number}
        subject = pod(number)
        return Pattern(
            pattern_id=subject,
            kind="change_point",
            subject=subject,
            statement="It moved.",
            strength=0.9,
            evidence=evidence,
        )

    evidence = seen({number: 60.0 + number for number in range(20)})
    known = Evidence(TICK, (PODS,), evidence.frames, patterns=tuple(shift(number) for number in range(20)))
    (view,) = open_after(turn(known, []))
    assert (view.goal.goal_type, view.goal.informs) == (GoalType.PATTERN_ADAPTATION, True)
    assert len(view.goal.members) == 20
    assert not leads_to_act(view, [view])


@settings(max_examples=25, deadline=None)
@given(history=st.lists(st.sets(st.integers(0, 11)), min_size=2, max_size=6))
def test_however_pods_break_no_series_is_in_two_open_goals_and_none_that_breaks_in_none(
    history: list[set[int]],
) -> None:
    views: list[GoalView] = []
    for minute, broken in enumerate(history):
        evidence = seen({number: 95.0 if number in broken else 50.0 for number in range(12)}, minute)
        views = open_after(turn(evidence, views, most=20), views)
        groups = [view for view in views if view.goal.members]
        singles = [view.goal.series for view in views if not view.goal.members]
        assert len(groups) <= 1
        assert not (groups and singles)
        assert groups or {pod(number) for number in broken} <= set(singles)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ([{"pod": "a"}, {"pod": "b"}], "1 of 2 pods"),
        ([{"pod": "a", "zone": "x"}, {"pod": "b", "zone": "x"}], "1 of 2 pods"),
        ([{"address": "a"}, {"address": "b"}], "1 of 2 series of m"),
        ([{"pod": "a", "zone": "x"}, {"pod": "b", "zone": "y"}], "1 of 2 series of m"),
    ],
)
def test_members_are_told_by_the_label_that_tells_them_apart(labels: list[dict[str, str]], text: str) -> None:
    from storage.records import series_key

    series = [series_key("m", each) for each in labels]
    assert told(series[:1], series) == text


def test_a_goal_that_informs_leads_to_an_act_only_beside_one_of_its_objective_that_acts() -> None:
    (acting,) = open_after(turn(seen({1: 95.0}), []))
    informing = acting.model_copy(update={"goal": acting.goal.model_copy(update={"informs": True, "goal_id": "i"})})
    assert leads_to_act(acting, [acting])
    assert not leads_to_act(informing, [informing])
    assert leads_to_act(informing, [informing, acting])
    for change in ({"objective": "other"}, {"series": pod(2)}):
        other = acting.model_copy(update={"goal": acting.goal.model_copy(update=change)})
        assert not leads_to_act(informing, [informing, other])
    assert not leads_to_act(informing, [informing, acting.model_copy(update={"state": GoalState.ACHIEVED})])


def test_a_frame_without_the_labels_still_counts_every_series() -> None:
    frames = (frame_of({pod(number): np.full(50, 95.0) for number in range(5)}),)
    (goal,) = turn(Evidence(TICK, (PODS,), frames), []).new
    assert goal.description.startswith("5 of 5 pods")
