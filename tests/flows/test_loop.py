"""The whole loop, bare: it sees trouble coming, acts, measures what that changed, and learns from it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.backtest import backtest
from flows.cycle import bare, turn
from flows.reports.results import BacktestReport
from flows.simulate import TickClock, simulate
from flows.wiring import live_context
from handlers import ActionHandler, from_callable
from settings import Settings, load_settings
from storage import ForeactError, Store, open_store
from storage.facts import INSIGHTS, OBJECTIVES
from storage.records import Event, GoalState, GoalType, Objective, ReceiptStatus, Sample, Verdict
from tasks.context import Context
from tests.flows.worlds import BOUND, MINUTE, START, ClimbingLoad, overrides, ticks

HISTORY_MINUTES = 340
END = START + 480 * MINUTE
TABLES = "goals goal_transitions decisions plans actions intents receipts outcomes beliefs forecasts breaches patterns"


@dataclass
class House:
    """A machine whose load climbs 0.12 a minute, with one handler registered that sheds some of it."""

    settings: Settings
    store: Store
    clock: TickClock
    actions: dict[str, ActionHandler]
    load: ClimbingLoad

    def context(self, tick: datetime) -> Context:
        self.clock.now = tick
        return live_context(self.settings, self.store, tick, actions=self.actions, now=self.clock)

    def turn(self, tick: datetime) -> Context:
        """Let the load be recorded up to the tick, then run one turn."""
        self.store.samples.append([each for each in self.load.observe(tick) if isinstance(each, Sample)])
        context = self.context(tick)
        self.store.cycles.begin(context.cycle)
        turn(bare, context)
        return context

    def until(self, is_so: Callable[[], bool], first: datetime, most: int = 30) -> datetime:
        """Take turns ten minutes apart until something is so, and return the tick at which it was."""
        for n in range(most):
            tick = first + 10 * n * MINUTE
            self.turn(tick)
            if is_so():
                return tick
        raise AssertionError(f"it did not come about within {most} turns")

    def rows(self) -> dict[str, int]:
        """Return how many rows each table of decisions and results has."""
        return {table: self.store.engine.rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES.split()}


def make_house(folder: Path, **more: Any) -> House:
    settings = load_settings(folder, home=folder, **overrides("shed", **more))
    clock = TickClock(START)
    load = ClimbingLoad()

    def shed(params: dict[str, Any], goal_id: str) -> dict[str, Any]:
        load.acts.append("shed")
        load.level -= 30
        return {"success": True, "impact": {"load": -30}}

    meta: dict[str, Any] = {"metrics": ("load",), "expected_effect": {"load": -2.0}, "risk": "low"}
    handler = from_callable("shed", shed, default_level="auto", runs_in_process=True, cooldown_s=600, **meta)
    return House(settings, open_store(clock=clock), clock, {"shed": handler}, load)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return make_house(tmp_path)


def test_the_loop_acts_before_the_breach_measures_and_learns(house: House) -> None:
    begun = START + 240 * MINUTE
    acted_at = house.until(lambda: bool(house.load.acts), begun)
    assert house.load.acts == ["shed"]

    (goal,) = (view.goal for view in house.store.goals.all() if view.goal.goal_type is GoalType.BOTTLENECK_PREVENTION)
    recorded = house.store.samples.frame(["load"], acted_at, 60, HISTORY_MINUTES).values[0]
    assert np.nanmax(recorded) < BOUND
    assert goal.because["sentence"]
    assert goal.deadline > goal.created_at

    (view,) = (each for each in house.store.actions.latest(10) if each.action.name == "shed")
    assert view.action.goal_id == goal.goal_id
    assert view.intent is not None
    assert view.receipt is not None
    assert view.receipt.status is ReceiptStatus.SUCCEEDED
    assert view.receipt.claimed_impact == {"load": -30}

    house.until(lambda: house.store.outcomes.belief() is not None, acted_at + 10 * MINUTE)
    outcome = next(each for each in house.store.outcomes.targets() if each.action == "shed")
    assert outcome.verdict is Verdict.IMPROVED
    assert outcome.low is not None
    assert outcome.high is not None
    assert outcome.low < -30 + 2
    assert outcome.low < outcome.high < 0

    belief = house.store.outcomes.belief()
    assert belief is not None
    assert belief.outcome_count >= 1
    house.until(lambda: house.store.goals.get(goal.goal_id).state is GoalState.ACHIEVED, house.clock.now + 10 * MINUTE)  # type: ignore[union-attr]
    assert house.store.audit.first_broken_line() is None


def test_the_same_turn_twice_changes_nothing_twice(house: House) -> None:
    acted_at = house.until(lambda: bool(house.load.acts), START + 240 * MINUTE)
    before, acts = house.rows(), list(house.load.acts)
    turn(bare, house.context(acted_at))
    assert house.load.acts == acts
    assert house.rows() == before


def test_every_stage_of_a_turn_is_on_record(house: House) -> None:
    context = house.turn(START + 60 * MINUTE)
    stages = [each["stage"] for each in house.store.cycles.stages(context.cycle_id)]
    assert stages == ["monitor", "patterns", "measure", "learn", "forecast", "goals", "plan", "execute"]


def test_with_the_mode_off_it_recommends_and_leaves_things_alone(tmp_path: Path) -> None:
    house = make_house(tmp_path, agent={"analysis_interval_minutes": 10, "autonomous_mode": False})
    waiting = house.store.actions.pending
    house.until(lambda: any(view.action.name == "shed" for view in waiting()), START + 240 * MINUTE)
    house.turn(house.clock.now + 10 * MINUTE)
    assert house.load.acts == []
    assert all(view.intent is None for view in house.store.actions.latest(10))


def test_a_silent_metric_never_achieves_its_goal(house: House) -> None:
    house.settings.kill_switch_path.touch()
    house.until(lambda: bool(house.store.goals.open()), START + 240 * MINUTE)
    wanted = [view.goal.goal_id for view in house.store.goals.open()]
    silent_from = house.clock.now
    house.load.observe = lambda tick: iter(())  # type: ignore[method-assign]
    for minutes in (20, 60, 180, 600, 1_440):
        house.turn(silent_from + minutes * MINUTE)
        for goal_id in wanted:
            view = house.store.goals.get(goal_id)
            assert view is not None
            assert view.state in {GoalState.BLOCKED, GoalState.EXPIRED}
            assert view.progress < 1


def test_a_source_that_fails_is_said_so_and_the_turn_goes_on(house: House) -> None:
    class Torn(ClimbingLoad):
        troubles = ("source csv: the file is gone",)

    context = house.context(START + 60 * MINUTE)
    world = Torn()
    turn(bare, live_context(house.settings, house.store, context.tick, actions=house.actions, world=world))
    line = next(line for line in house.store.audit.latest() if line.verb == "source failed")
    assert line.detail == {"trouble": "source csv: the file is gone"}
    assert house.store.forecasts.latest_cycle() is not None


def test_the_one_action_that_works_is_found_and_preferred(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, home=tmp_path, **overrides("shed", "stir", "ponder"))
    world = ClimbingLoad()
    report = simulate(world, settings, ticks(60, every_minutes=20))
    assert set(world.acts) <= {"shed", "stir", "ponder"}
    late = [view.action.name for view in reversed(report.actions) if view.action.name != "nothing"][-3:]
    assert late == ["shed"] * 3
    judged = {
        name: [each for each in report.outcomes if each.action == name and each.verdict is not Verdict.UNKNOWN]
        for name in ("shed", "stir", "ponder", "nothing")
    }
    assert all(each.verdict is Verdict.IMPROVED for each in judged["shed"])
    assert np.mean([each.estimate for each in judged["shed"]]) == pytest.approx(-30, abs=2)
    rates = (report.store.facts.get(INSIGHTS) or {})["action_success_rates"]
    assert rates["shed"]["rate"] == 1
    assert all(found["rate"] < 0.2 for name, found in rates.items() if name != "shed")
    useless = [each for name in ("stir", "ponder", "nothing") for each in judged[name]]
    assert sum(each.verdict is Verdict.IMPROVED for each in useless) <= 0.15 * len(useless), "one in twenty by chance"
    assert report.summary()["ticks"] == 60
    json.dumps(report.summary())


def test_a_simulation_is_the_same_every_time(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, home=tmp_path, **overrides("shed", "stir"))
    first, second = (simulate(ClimbingLoad(), settings, ticks(12, 240, 20)) for _ in range(2))
    assert first.summary() == second.summary()
    assert [view.action.action_id for view in first.actions] == [view.action.action_id for view in second.actions]
    assert first.goals == second.goals


def test_a_simulation_without_ticks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one tick"):
        simulate(ClimbingLoad(), load_settings(tmp_path, home=tmp_path), [])


@pytest.fixture(scope="module")
def recorded() -> Iterator[Store]:
    """Yield eight hours of a load that breaks its bound after six."""
    with open_store(clock=lambda: START + timedelta(days=1)) as store:
        store.samples.append([each for each in ClimbingLoad().observe(END) if isinstance(each, Sample)])
        store.events.append([Event(event_type="deploy", ts=START + 100 * MINUTE)])
        yield store


@pytest.fixture(scope="module")
def replay(recorded: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[BacktestReport, list[tuple[int, int]]]:
    """Return what a backtest of it says, and how far it said it was."""
    folder = tmp_path_factory.mktemp("backtest")
    settings, seen = load_settings(folder, home=folder, **overrides("shed")), list[tuple[int, int]]()
    return backtest(recorded, settings, START, END, every_s=1_200, progress=lambda *both: seen.append(both)), seen


def test_a_backtest_finds_the_breach_the_goal_and_its_lead_time(replay: Any) -> None:
    report, _ = replay
    first = report.episodes[0]
    assert first.objective == "load"
    assert first.goal_id is not None
    assert first.lead_time_s is not None
    assert 300 < first.lead_time_s < 3 * 3_600
    assert report.missed == ()
    assert report.false_alarms == ()


def test_a_backtest_tells_people_how_far_it_is_and_machines_what_it_found(replay: Any) -> None:
    report, seen = replay
    assert seen[-1] == (23, 23)
    told = json.loads(report.to_json())
    assert told["summary"]["breaches"] == len(report.episodes) == len(told["episodes"])
    assert told["summary"]["median_lead_time_s"] > 300
    assert told["summary"]["ticks"] == 23


def test_a_backtest_does_nothing_and_changes_nothing(replay: Any, recorded: Store) -> None:
    report, _ = replay
    proposed = [view for view in report.simulation.actions if view.action.name != "nothing"]
    assert proposed
    assert {view.receipt.status for view in proposed if view.receipt} <= {
        ReceiptStatus.DRY_RUN,
        ReceiptStatus.SKIPPED,
    }
    assert recorded.goals.all() == []
    assert recorded.cycles.count() == 0
    assert recorded.actions.latest(10) == []


def test_a_backtest_uses_the_objectives_that_were_set_by_hand(recorded: Store, tmp_path: Path) -> None:
    settings = load_settings(tmp_path, home=tmp_path, **overrides())
    recorded.facts.set(OBJECTIVES.of("load"), Objective(name="load", metric="load", bound=120), "ada")
    assert backtest(recorded, settings, START, END, every_s=7_200).episodes == ()


def test_a_backtest_looks_at_rare_samples_and_events_for_weeks_and_at_dense_ones_for_days(tmp_path: Path) -> None:
    end, hour = START + timedelta(days=30), timedelta(hours=1)
    with open_store(clock=lambda: end) as store:
        store.samples.append([Sample(metric="hourly", value=n % 24, ts=START + n * hour) for n in range(1, 721)])
        store.samples.append([Sample(metric="dense", value=n, ts=START + n * 5 * MINUTE) for n in range(1, 8_641)])
        store.events.append([Event(event_type="deploy", ts=START + timedelta(days=9))])
        settings = load_settings(tmp_path, home=tmp_path)
        seen = backtest(store, settings, end - hour, end, every_s=3_600).simulation.store
    firsts = {info.series: info.first for info in seen.samples.spans(START, end)}
    assert firsts == {"hourly": START + hour, "dense": end - hour - timedelta(days=7) + 5 * MINUTE}
    assert [event.event_type for event in seen.events.between(START, end)] == ["deploy"]


def test_a_backtest_over_an_empty_span_is_refused(recorded: Store, tmp_path: Path) -> None:
    settings = load_settings(tmp_path, home=tmp_path)
    with pytest.raises(ForeactError) as caught:
        backtest(recorded, settings, START - timedelta(days=9), START - timedelta(days=8))
    assert caught.value.code == "history_empty"
    assert "foreact import" in caught.value.remedy


def test_a_flow_run_starts_without_the_web_framework() -> None:
    """It is a quarter of a second of every cycle, and nothing in one is served."""
    code = "import sys, flows.cycle; print([m for m in ('fastapi', 'uvicorn', 'pandas') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
