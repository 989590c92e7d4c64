"""A run that will be late, in the whole loop: it is acted for while there is time, and what that saved is measured."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.cycle import bare_turn
from flows.simulate import TickClock
from flows.wiring import live_context
from handlers.worlds.declared import DeclaredWorld
from settings import Settings, load_settings
from storage import Store, open_store
from storage.records import RUN_AGE, Action, Event, GoalState, Objective, Receipt, ReceiptStatus, Sample
from tasks.configured_actions import configured_actions, declared_actions
from tasks.drivers.in_force import breaches_in_force
from tests.flows.worlds import MINUTE, START

LOAD = "load/hourly"
HISTORY_HOURS = 72
SLOW = {75}
"""The hours whose run takes 80 minutes instead of 20 or so, unless somebody helps."""

USUAL_MIN, SLOW_MIN, BOUND_MIN = 20.0, 80.0, 45


class HourlyRuns:
    """A deployment that runs every hour; `help` lets the run that is on end within five minutes."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.lengths = [
            SLOW_MIN if hour in SLOW else float(USUAL_MIN * np.exp(rng.normal(0, 0.08))) for hour in range(100)
        ]
        self.told_until = START
        self.helped: list[datetime] = []

    def due(self, hour: int) -> datetime:
        return START + timedelta(hours=hour)

    def end(self, hour: int) -> datetime:
        return self.due(hour) + timedelta(minutes=self.lengths[hour])

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        at = self.told_until
        while (at := at + MINUTE) <= tick:
            on = [hour for hour in range(len(self.lengths)) if self.due(hour) <= at < self.end(hour)]
            oldest_s = max(((at - self.due(hour)).total_seconds() for hour in on), default=0.0)
            labels = {"deployment": LOAD}
            yield Sample(metric=RUN_AGE, value=oldest_s, ts=at, labels=labels, unit="s")
            for hour in range(len(self.lengths)):
                for kind, step, more in (
                    ("started", self.due(hour), {"start": self.due(hour).isoformat()}),
                    ("completed", self.end(hour), {"end": self.end(hour).isoformat()}),
                ):
                    if at - MINUTE < step <= at:
                        told = {"run_id": f"run-{hour}", "run": f"run-{hour}", "due": self.due(hour).isoformat()}
                        metadata = {**told, "work_pool": "pool", **more}
                        yield Event(event_type=f"prefect_run_{kind}", ts=step, labels=labels, metadata=metadata)
        self.told_until = max(tick, self.told_until)

    def act(self, action: Action, tick: datetime) -> Receipt:
        self.helped.append(tick)
        for hour in range(len(self.lengths)):
            if self.due(hour) <= tick < self.end(hour):
                self.lengths[hour] = (tick - self.due(hour)).total_seconds() / 60 + 5
        return Receipt(action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, started_at=tick, finished_at=tick)


def configured(tmp_path: Path, level: str) -> Settings:
    given = {"name": "in-time", "kind": "deadline", "deployment": LOAD, "bound": BOUND_MIN * 60, "severity": 0.8}
    help_it: dict[str, Any] = {
        "goal_types": ["DEADLINE"],
        "metrics": [RUN_AGE],
        "candidates": [{}],
        "risk": "low",
        "level": level,
        "cooldown_seconds": 60,
    }
    return load_settings(
        tmp_path,
        home=tmp_path,
        use_default_objectives=False,
        objectives=(Objective.model_validate(given),),
        agent={"analysis_interval_minutes": 5},
        executor={"measure_horizon_seconds": 1_200, "holdout_ratio": 0, "rate_limits": ["1000/day"]},
        actions={"help": help_it | {"expected_effect": {RUN_AGE: -1.0}}},
    )


def turns(settings: Settings, world: HourlyRuns, first_hour: float, last_hour: float) -> Store:
    clock = TickClock(START)
    store = open_store(clock=clock)
    tick = START + timedelta(hours=first_hour)
    declared = declared_actions(settings)
    proposing = DeclaredWorld(world, configured_actions(settings, declared))
    while tick <= START + timedelta(hours=last_hour):
        clock.now = tick
        context = live_context(settings, store, tick, actions=declared, world=proposing, now=clock)
        store.cycles.begin(context.cycle)
        bare_turn(context)
        tick += 5 * MINUTE
    return store


@pytest.mark.slow
def test_a_run_that_will_be_late_is_helped_in_time_and_what_that_saved_is_measured(tmp_path: Path) -> None:
    world = HourlyRuns()
    store = turns(configured(tmp_path, "auto"), world, HISTORY_HOURS + 2, HISTORY_HOURS + 5.5)
    about_runs = [view for view in store.goals.all() if view.goal.objective == "in-time"]
    assert {view.goal.because["inputs"]["run"] for view in about_runs} == {f"run-{hour}" for hour in SLOW}
    assert {view.state for view in about_runs} == {GoalState.ACHIEVED}
    assert len(world.helped) == len(SLOW)
    outcomes = store.outcomes.targets()
    assert {each.series for each in outcomes} == {f'{RUN_AGE}{{deployment="{LOAD}"}}'}
    measured = [each.estimate for each in outcomes if each.estimate is not None]
    assert measured
    assert np.mean(measured) < 0


@pytest.mark.slow
def test_without_help_the_goal_fails_at_the_deadline_and_the_probability_was_shown(tmp_path: Path) -> None:
    world = HourlyRuns()
    store = turns(configured(tmp_path, "observe"), world, HISTORY_HOURS + 2.5, HISTORY_HOURS + 4)
    (view,) = [view for view in store.goals.all() if view.goal.objective == "in-time"]
    assert view.state is GoalState.FAILED
    assert view.goal.deadline == world.due(75) + timedelta(minutes=BOUND_MIN)
    assert view.goal.deadline - view.goal.created_at >= timedelta(minutes=0.2 * USUAL_MIN)
    (cycle,) = store.cycles.latest(1)
    assert {breach.objective for breach in breaches_in_force(store, cycle.cycle_id)} <= {"in-time"}


def test_a_schedule_alone_gives_no_goal(tmp_path: Path) -> None:
    store = turns(configured(tmp_path, "observe"), HourlyRuns(), HISTORY_HOURS, HISTORY_HOURS + 2.5)
    assert [view.goal.description for view in store.goals.all()] == []
