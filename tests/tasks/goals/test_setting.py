"""Goals are raised once a cause, ranked, capped, kept, and closed by measurement alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.records import GoalState, GoalType, GoalView, Objective
from tasks.goals.changes import GoalChanges
from tasks.goals.discovery import discover_rules
from tasks.goals.evidence import Evidence, Rule
from tasks.goals.setting import set_goals
from tests.tasks.goals.worlds import TICK, closed_after, evidence_of, forecast_of, open_after, states_of

CPU = Objective(name="cpu", metric="cpu_usage", bound=90, severity=0.8, horizon_s=3_600)
SOON = TICK + timedelta(minutes=30)


def cycle(evidence: Evidence, open_goals: list[GoalView], recent: list[GoalView], most: int = 10) -> GoalChanges:
    cycle_id = evidence.tick.isoformat()
    return set_goals(evidence, open_goals, recent, max_active_goals=most, cycle_id=cycle_id)


def run(values: np.ndarray, probabilities: np.ndarray, every: int = 5) -> tuple[list[GoalView], list[GoalView]]:
    """Run a cycle every few minutes over a series of minutes; return the goals open and closed at the end."""
    open_goals: list[GoalView] = []
    closed: list[GoalView] = []
    for minute in range(60, len(values), every):
        tick = TICK + timedelta(minutes=minute)
        seen = values[: minute + 1]
        evidence = evidence_of(CPU, {"cpu_usage": seen}, probability=float(probabilities[minute]), tick=tick)
        changes = cycle(evidence, open_goals, closed)
        closed += closed_after(changes, open_goals)
        open_goals = open_after(changes, open_goals)
    return open_goals, closed


def raised(value: float, probability: float, **more: object) -> GoalChanges:
    evidence = evidence_of(CPU, {"cpu_usage": np.full(100, value)}, probability=probability, **more)
    return cycle(evidence, [], [])


class TestRaising:
    def test_a_new_goal_is_proposed_and_then_active(self) -> None:
        assert states_of(raised(60, 0.9)) == [GoalState.PROPOSED, GoalState.ACTIVE]

    def test_priority_is_probability_times_severity_times_urgency(self) -> None:
        (goal,) = raised(60, 0.9).new
        assert goal.priority == pytest.approx(goal.probability * goal.severity * goal.urgency)
        assert goal.deadline == SOON

    def test_the_same_cycle_run_twice_gives_the_same_goal(self) -> None:
        assert raised(60, 0.9).new[0].goal_id == raised(60, 0.9).new[0].goal_id

    def test_an_open_cause_is_not_raised_again(self) -> None:
        first = open_after(raised(60, 0.9))
        evidence = evidence_of(CPU, {"cpu_usage": np.full(100, 60.0)}, probability=0.95)
        changes = cycle(evidence, first, [])
        assert changes.new == ()
        assert [each.reason for each in changes.declined] == ["a goal for this cause is already open"]

    def test_a_rule_that_fails_leaves_the_others_working(self) -> None:
        def broken(evidence: Evidence) -> Iterator[object]:
            raise ZeroDivisionError("no")

        rules = [*discover_rules(), Rule("bad", GoalType.COST_REDUCTION, broken, lambda goal, evidence: None)]  # type: ignore[arg-type]
        evidence = evidence_of(CPU, {"cpu_usage": np.full(100, 60.0)}, probability=0.9)
        changes = set_goals(evidence, [], [], max_active_goals=10, cycle_id="c", rules=rules)
        assert len(changes.new) == 1
        assert "ZeroDivisionError" in changes.declined[0].reason


class TestCap:
    def objectives(self, severities: list[float]) -> list[Objective]:
        return [
            Objective(name=f"o{i}", metric=f"m{i}", bound=90, severity=severity)
            for i, severity in enumerate(severities)
        ]

    def evidence(self, severities: list[float], start: int = 0) -> Evidence:
        objectives = self.objectives(severities)[start:]
        values = {each.metric: np.full(100, 95.0) for each in objectives}
        return evidence_of(objectives, values, probability=0.9)

    def test_the_weightiest_proposals_are_taken(self) -> None:
        changes = cycle(self.evidence([0.1, 0.9, 0.5]), [], [], most=2)
        assert [goal.severity for goal in changes.new] == [0.9, 0.5]
        assert "the most allowed" in changes.declined[0].reason

    def test_a_much_weightier_goal_supersedes_the_least(self) -> None:
        first = open_after(cycle(self.evidence([0.2, 0.3]), [], [], most=2))
        changes = cycle(self.evidence([0.2, 0.3, 0.9]), first, [], most=2)
        assert [goal.severity for goal in changes.new] == [0.9]
        assert states_of(changes)[0] is GoalState.SUPERSEDED
        assert len(open_after(changes, first)) == 2

    def test_a_slightly_weightier_goal_is_declined(self) -> None:
        first = open_after(cycle(self.evidence([0.5, 0.5]), [], [], most=2))
        assert cycle(self.evidence([0.5, 0.5, 0.6]), first, [], most=2).new == ()

    def test_a_graver_goal_takes_the_place_of_the_least_of_a_full_list(self) -> None:
        lesser = [0.5] * 10
        first = open_after(cycle(self.evidence(lesser), [], []))
        changes = cycle(self.evidence([*lesser, 0.9]), first, [])
        assert [goal.severity for goal in changes.new] == [0.9]
        assert len(open_after(changes, first)) == 10
        assert states_of(cycle(self.evidence([*lesser, 0.9]), open_after(changes, first), [])) == []

    def test_what_only_informs_gives_way_to_what_acts_and_never_the_other_way_round(self) -> None:
        (acting,) = open_after(cycle(self.evidence([0.3]), [], [], most=1))
        informing = acting.model_copy(update={"goal": acting.goal.model_copy(update={"informs": True, "cause": "i"})})
        changes = cycle(self.evidence([0.3]), [informing], [], most=1)
        assert states_of(changes)[0] is GoalState.SUPERSEDED
        assert [goal.severity for goal in changes.new] == [0.3]

    @settings(max_examples=30, deadline=None)
    @given(
        first=st.lists(st.floats(0.05, 1), min_size=1, max_size=8),
        second=st.lists(st.floats(0.05, 1), min_size=1, max_size=8),
        most=st.integers(1, 5),
    )
    def test_never_more_goals_than_may_be(self, first: list[float], second: list[float], most: int) -> None:
        goals = open_after(cycle(self.evidence(first), [], [], most=most))
        changes = cycle(self.evidence([*first, *second]), goals, [], most=most)
        assert len(open_after(changes, goals)) <= most


class TestClosing:
    def test_a_wobble_around_the_bound_is_one_goal(self) -> None:
        rng = np.random.default_rng(0)
        values = 90 + rng.normal(0, 2, 600)
        open_goals, closed = run(values, np.clip(0.5 + rng.normal(0, 0.3, 600), 0, 1))
        assert len(open_goals) + len(closed) == 1

    def test_a_goal_is_achieved_once_the_bound_has_held_and_a_breach_is_unlikely(self) -> None:
        values = np.concatenate([np.full(100, 95.0), np.full(60, 60.0)])
        _, (closed,) = run(values, np.where(values > 90, 1.0, 0.05))
        assert closed.state is GoalState.ACHIEVED
        assert closed.progress == 1.0

    def test_a_goal_is_not_achieved_while_a_breach_is_still_likely(self) -> None:
        values = np.concatenate([np.full(100, 95.0), np.full(30, 60.0)])
        (still_open,), closed = run(values, np.full(130, 0.6))
        assert closed == []
        assert still_open.progress < 1.0

    def test_two_incidents_with_a_quiet_hour_between_are_two_goals(self) -> None:
        values = np.concatenate([np.full(90, 95.0), np.full(90, 50.0), np.full(20, 95.0)])
        open_goals, closed = run(values, np.where(values > 90, 1.0, 0.05))
        assert len(open_goals) == 1
        assert len(closed) == 1

    def test_a_breach_that_comes_back_at_once_and_lasts_is_a_goal_again_after_a_while(self) -> None:
        values = np.concatenate([np.full(70, 95.0), np.full(7, 60.0), np.full(30, 95.0)])
        probabilities = np.where(values > 90, 1.0, 0.05)
        open_goals, (closed,) = run(values, probabilities, every=1)
        assert closed.state is GoalState.ACHIEVED
        (again,) = open_goals
        assert timedelta(minutes=2) <= again.goal.created_at - closed.since <= timedelta(minutes=6)

    def test_what_a_person_cancelled_is_not_raised_again_while_it_lasts(self) -> None:
        first = open_after(raised(95, 1.0))[0]
        cancelled = first.model_copy(update={"state": GoalState.CANCELLED})
        later = TICK + timedelta(hours=3)
        evidence = evidence_of(CPU, {"cpu_usage": np.full(300, 95.0)}, probability=1.0, tick=later)
        assert cycle(evidence, [], [cancelled]).new == ()

    def test_silence_blocks_a_goal_and_never_achieves_it(self) -> None:
        values = np.concatenate([np.full(100, 95.0), np.full(50, np.nan)])
        (view,), closed = run(values, np.full(150, 0.0))
        assert closed == []
        assert view.state is GoalState.BLOCKED
        assert "has not been recorded" in view.reason

    def test_a_series_that_speaks_again_unblocks_its_goal(self) -> None:
        values = np.concatenate([np.full(100, 95.0), np.full(50, np.nan), np.full(20, 95.0)])
        (view,), _ = run(values, np.full(170, 1.0))
        assert view.state is GoalState.ACTIVE

    def test_silence_long_after_the_deadline_expires_the_goal(self) -> None:
        values = np.concatenate([np.full(100, 95.0), np.full(200, np.nan)])
        _, (closed,) = run(values, np.full(300, 0.0))
        assert closed.state is GoalState.EXPIRED

    def test_a_breach_that_lasts_past_the_deadline_fails_the_goal_and_is_tried_again_later(self) -> None:
        open_goals, closed = run(np.full(1_700, 95.0), np.full(1_700, 1.0), every=10)
        assert [view.state for view in closed] == [GoalState.FAILED, GoalState.FAILED]
        assert "nothing worked" in closed[0].reason
        first, second = sorted(closed, key=lambda view: view.since)
        assert second.goal.created_at - first.since == timedelta(hours=1)
        assert open_goals == []

    def test_a_predicted_breach_that_never_comes_expires_the_goal(self) -> None:
        _, closed = run(np.full(300, 60.0), np.full(300, 0.6))
        assert closed[0].state is GoalState.EXPIRED

    def test_a_goal_whose_objective_is_gone_is_cancelled(self) -> None:
        first = open_after(raised(95, 1.0))
        later = TICK + timedelta(minutes=5)
        changes = cycle(Evidence(tick=later), first, [])
        assert states_of(changes) == [GoalState.CANCELLED]

    def test_progress_follows_the_metric_from_the_baseline_to_the_bound(self) -> None:
        first = open_after(raised(110, 1.0))
        progress = []
        for minute, value in enumerate([110, 105, 100, 95], start=1):
            tick = TICK + timedelta(minutes=minute)
            evidence = evidence_of(CPU, {"cpu_usage": np.full(100, float(value))}, probability=1.0, tick=tick)
            first = open_after(cycle(evidence, first, []), first)
            progress.append(first[0].progress)
        assert progress == sorted(progress)
        assert progress[-1] == pytest.approx(0.8 * 0.75)

    def test_progress_toward_a_predicted_breach_follows_the_forecast(self) -> None:
        def seen(peak: float, minute: int) -> Evidence:
            tick = TICK + timedelta(minutes=minute)
            forecast = forecast_of("cpu_usage", np.linspace(60, peak, 60), tick=tick)
            values = {"cpu_usage": np.full(100, 60.0)}
            return evidence_of(CPU, values, probability=0.9, tick=tick, forecasts={"cpu_usage": forecast})

        first = open_after(cycle(seen(110, 0), [], []))
        second = open_after(cycle(seen(100, 5), first, []), first)
        assert second[0].progress == pytest.approx(0.8 * 0.5)


def test_a_goal_that_closed_under_a_clock_years_ahead_does_not_keep_its_cause_from_being_raised() -> None:
    first = open_after(raised(95, 0.9))
    future = TICK + timedelta(days=4_000)
    closed = [view.model_copy(update={"state": GoalState.FAILED, "since": future}) for view in first]
    evidence = evidence_of(CPU, {"cpu_usage": np.full(100, 95.0)}, probability=0.9)
    assert len(cycle(evidence, [], closed).new) == 1


def test_contradictory_objectives_pursue_the_weightier_and_say_why() -> None:
    low = Objective(name="low", metric="m", side="below", bound=10, severity=0.9)
    high = Objective(name="high", metric="m", side="above", bound=20, severity=0.4)
    changes = cycle(evidence_of([low, high], {"m": np.full(100, 15.0)}), [], [])
    assert [goal.objective for goal in changes.new] == ["low"]
    assert "no value is both under 10 and over 20" in changes.declined[0].reason


def test_a_child_goal_names_the_goal_of_its_parent_objective() -> None:
    parent = Objective(name="service", metric="latency", bound=200)
    child = Objective(name="cpu", metric="cpu_usage", bound=90, parent="service")
    values = {"latency": np.full(100, 300.0), "cpu_usage": np.full(100, 95.0)}
    changes = cycle(evidence_of([parent, child], values), [], [])
    by_objective = {goal.objective: goal for goal in changes.new}
    assert by_objective["cpu"].parent_id == by_objective["service"].goal_id
