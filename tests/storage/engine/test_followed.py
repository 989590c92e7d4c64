"""What a turn asks for again and again is answered alike whether the store is a bare run's or another process's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from storage import Store, open_store, own_store
from storage.facts import CONSIDERED, OBJECTIVES
from storage.forecasts import ForecastError
from storage.records import Cycle, Event, Forecast, GoalState, GoalView, Objective, StatePrediction, Transition
from storage.state_predictions import ForetoldState, RawState, StateResult
from tests.storage.test_store import a_goal

NOW = datetime(2026, 1, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


@pytest.fixture(params=["alone", "attached"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "alone":
        with open_store() as alone:
            yield alone
        return
    with own_store(tmp_path / "a.duckdb"), open_store(tmp_path / "a.duckdb") as attached:
        yield attached


def test_events_are_seen_as_soon_as_they_are_recorded(store: Store) -> None:
    def kinds(since: datetime, until: datetime) -> list[str]:
        return list(store.events.columns(since, until)["event_type"])

    assert kinds(NOW - DAY, NOW) == []
    store.events.append([Event(event_type="a", ts=NOW), Event(event_type="b", ts=NOW - MINUTE)])
    assert kinds(NOW - DAY, NOW) == ["b", "a"]
    assert kinds(NOW - MINUTE, NOW) == ["a"]
    assert kinds(NOW - DAY, NOW - MINUTE) == ["b"]


def a_forecast(issued_at: datetime, steps: int, refusal: str | None = None) -> Forecast:
    zeros = np.zeros(steps)
    quantiles = np.zeros((steps, 3))
    return Forecast(
        series="a",
        issued_at=issued_at,
        step_s=60,
        levels=(0.05, 0.5, 0.95),
        point=zeros,
        quantiles=quantiles,
        method="m",
        refusal=refusal,
    )


def test_a_forecast_is_due_when_it_matures_however_often_was_asked_before(store: Store) -> None:
    def due(at: datetime) -> list[str]:
        return [cycle for cycle, _ in store.forecasts.unresolved(at, 500)]

    def resolve(cycle_id: str, forecast: Forecast) -> None:
        error = ForecastError(cycle_id, "a", forecast.issued_at, 60, np.zeros(len(forecast.point)), 1.0, False)
        store.forecasts.append_errors([error])

    assert due(NOW) == []
    long, short, later = a_forecast(NOW, 9), a_forecast(NOW, 3), a_forecast(NOW + MINUTE, 3)
    store.forecasts.append([long], "long")
    assert due(NOW + 2 * MINUTE) == []
    store.forecasts.append([short], "short")
    assert due(NOW + 3 * MINUTE) == ["short"]
    store.forecasts.append([later], "later")
    resolve("short", short)
    assert due(NOW + 3 * MINUTE) == []
    assert due(NOW + 4 * MINUTE) == ["later"]
    resolve("later", later)
    assert due(NOW + 8 * MINUTE) == []
    assert due(NOW + 9 * MINUTE) == ["long"]


def test_a_state_is_due_when_its_moment_has_come(store: Store) -> None:
    state = StatePrediction(at=NOW + MINUTE, state="healthy", probabilities={"healthy": 1.0})
    states = store.forecasts.states
    assert states.unresolved(NOW, 9) == []
    assert states.append(state, "one", RawState(0.0, 0.0))
    assert not states.append(state, "one", RawState(0.0, 0.0))
    assert states.unresolved(NOW, 9) == []
    (found,) = states.unresolved(NOW + MINUTE, 9)
    states.append_results([StateResult(ForetoldState("one", found.prediction, found.raw), "healthy")])
    assert states.unresolved(NOW + MINUTE, 9) == []


def move(goal_id: str, state: GoalState, at: datetime) -> Transition:
    return Transition(goal_id=goal_id, state=state, at=at, reason="r")


def test_one_reading_gives_the_open_goals_and_those_closed_lately(store: Store) -> None:
    goals = [a_goal(name, NOW, priority) for name, priority in (("a", 0.1), ("b", 0.9), ("c", 0.5), ("d", 0.4))]
    store.goals.append(goals, [move(goal.goal_id, GoalState.ACTIVE, NOW) for goal in goals], "one")
    closed = [move("c", GoalState.ACHIEVED, NOW + MINUTE), move("d", GoalState.FAILED, NOW - 2 * DAY)]
    store.goals.move(closed, "two")

    def names(views: list[GoalView]) -> list[str]:
        return [view.goal.goal_id for view in views]

    opened, lately = store.goals.lately(NOW - DAY)
    assert names(opened) == names(store.goals.open()) == ["b", "a"]
    assert names(lately) == names(store.goals.recent(NOW - DAY)) == ["c"]
    store.goals.move([move("a", GoalState.CANCELLED, NOW + 2 * MINUTE)], "three")
    assert names(store.goals.lately(NOW - DAY)[1]) == ["a", "c"]


def test_what_is_written_together_is_there_once_although_some_of_it_was_there_before(store: Store) -> None:
    first, second = a_goal("a", NOW), a_goal("b", NOW)
    opened = [move("a", GoalState.ACTIVE, NOW)]
    store.goals.append([first], opened, "one")
    store.goals.append([first, second], [*opened, move("b", GoalState.ACTIVE, NOW)], "one")
    assert [view.goal.goal_id for view in store.goals.open()] == ["a", "b"]
    assert [len(store.goals.transitions(name)) for name in ("a", "b")] == [1, 1]


def test_what_is_written_together_is_taken_back_together(store: Store) -> None:
    tries: list[int] = []

    def write() -> None:
        tries.append(1)
        store.goals.move([move("a", GoalState.ACTIVE, NOW)], "one")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.together(write)
    assert len(tries) == 1
    assert store.goals.transitions("a") == []
    store.goals.move([move("a", GoalState.ACTIVE, NOW)], "one")
    assert len(store.goals.transitions("a")) == 1


def test_the_last_turn_that_measured_is_the_newest_before_a_tick(store: Store) -> None:
    def turn(minute: int, *stages: str) -> None:
        tick = NOW + minute * MINUTE
        cycle = Cycle(
            cycle_id=f"c{minute}",
            agent="a",
            tick=tick,
            autonomous=True,
            configuration_hash="",
            code_version="",
            seed=0,
        )
        store.cycles.begin(cycle)
        store.cycles.stages_done(cycle.cycle_id, [(stage, tick, 0.1, {}) for stage in stages])

    assert store.cycles.measured_before(NOW) is None
    turn(1, "monitor", "measure")
    turn(3, "monitor", "measure")
    turn(2, "monitor", "measure")
    turn(4, "monitor")
    assert [store.cycles.measured_before(NOW + minute * MINUTE) for minute in (9, 3, 1)] == [
        NOW + 3 * MINUTE,
        NOW + 2 * MINUTE,
        None,
    ]


def test_the_value_in_force_of_a_fact_is_its_last(store: Store) -> None:
    first, second = (Objective(name=name, metric="load", bound=9) for name in ("a", "b"))
    store.facts.set(OBJECTIVES.of("a"), first)
    store.facts.set(OBJECTIVES.of("b"), second)
    assert store.facts.get(OBJECTIVES.of("a")) == first
    store.facts.set(OBJECTIVES.of("a"), None)
    assert store.facts.matching(OBJECTIVES) == {"a": None, "b": second}
    assert store.facts.get(CONSIDERED) is None
