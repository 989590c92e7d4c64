"""The loop with one objective and an action that sets an amount: up in time, back again, never against a breach."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.simulate import simulate
from settings import load_settings
from storage.records import Action, Event, GoalType, Receipt, ReceiptStatus, Sample

START = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BOUND_S = 300.0


class Queue:
    """A queue that `set_workers` empties: a worker does a job a minute; `load` says how many jobs come when."""

    def __init__(self, load: list[tuple[int, float]], workers: int = 4, refuses: bool = False) -> None:
        self.load, self.workers, self.refuses = load, workers, refuses
        self.minute, self.jobs, self.age_s = 0, 0.0, 0.0
        self.moves: list[tuple[int, float, int, int]] = []

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        while START + (self.minute + 1) * MINUTE <= tick:
            self.minute += 1
            arrivals = next(rate for until, rate in self.load if self.minute <= until)
            self.jobs = max(0.0, self.jobs + arrivals - self.workers)
            self.age_s = 60.0 * self.jobs / max(arrivals, 1.0)
            at = START + self.minute * MINUTE
            yield Sample(metric="queue_age_s", value=self.age_s, ts=at)
            yield Sample(metric="workers", value=self.workers, ts=at)

    def act(self, action: Action, tick: datetime) -> Receipt:
        if self.refuses:
            raise RuntimeError("the scheduler is away")
        to = int(action.params["amount"])
        self.moves.append((self.minute, self.age_s, self.workers, to))
        self.workers = to
        return Receipt(action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, started_at=tick, finished_at=tick)


def run(world: Queue, folder: Path, turns: int, **action: Any) -> Any:
    objective = {"name": "age", "metric": "queue_age_s", "bound": BOUND_S, "severity": 0.8, "horizon_s": 1_800}
    setter = {"sets": "workers", "amounts": {"least": 1, "most": 30}, "metrics": ["queue_age_s"], "latency_seconds": 60}
    settings = load_settings(
        folder,
        home=folder,
        use_default_objectives=False,
        agent={"analysis_interval_minutes": 5},
        objectives=[objective],
        actions={"set_workers": setter | action},
    )
    return simulate(world, settings, [START + (60 + 5 * n) * MINUTE for n in range(turns)])


@pytest.fixture(scope="module")
def surge(tmp_path_factory: pytest.TempPathFactory) -> tuple[Queue, Any]:
    """An hour of rest, two of a surge that three times the workers carry, then rest again."""
    world = Queue([(70, 2.0), (190, 12.0), (10_000, 2.0)])
    return world, run(world, tmp_path_factory.mktemp("queue"), 60)


def test_no_move_leads_away_from_relief_while_the_queue_is_too_old(surge: tuple[Queue, Any]) -> None:
    world, _ = surge
    assert [move for move in world.moves if move[1] > BOUND_S and move[3] < move[2]] == []


def test_the_surge_is_caught_by_steps_that_double_from_one(surge: tuple[Queue, Any]) -> None:
    world, _ = surge
    rises = [(before, to) for _, _, before, to in world.moves if to > before]
    assert rises[0][1] - rises[0][0] == 1
    assert max(to for _, to in rises) >= 12
    assert world.moves[-1][1] <= BOUND_S


def test_what_was_added_comes_in_again_one_at_a_time_for_a_goal_of_its_own(surge: tuple[Queue, Any]) -> None:
    world, report = surge
    falls = [(before, to) for minute, _, before, to in world.moves if to < before and minute > 190]
    assert len(falls) >= 4
    assert all(before - to == 1 for before, to in falls)
    lowering = [view for view in report.actions if view.action.goal_type is GoalType.COST_REDUCTION]
    assert len(lowering) == len([1 for _, _, before, to in world.moves if to < before])


def test_a_world_that_refuses_is_recorded_and_the_loop_goes_on(tmp_path: Path) -> None:
    world = Queue([(70, 2.0), (10_000, 12.0)], refuses=True)
    report = run(world, tmp_path, 20)
    receipts = [view.receipt for view in report.actions if view.receipt is not None]
    failed = [each for each in receipts if each.status is ReceiptStatus.FAILED]
    assert failed
    assert all("the scheduler is away" in each.detail for each in failed)
    assert report.ticks == 20
    assert len(failed) <= 6, "the circuit breaker holds what fails again and again"


def test_an_amount_that_changes_nothing_is_tried_a_few_times_and_then_left(tmp_path: Path) -> None:
    class Deaf(Queue):
        def observe(self, tick: datetime) -> Iterator[Sample | Event]:
            for each in super().observe(tick):
                stuck = each.metric == "queue_age_s" and self.minute > 70
                yield each.model_copy(update={"value": 900.0}) if stuck else each

    world = Deaf([(10_000, 2.0)])
    report = run(world, tmp_path, 48)
    assert 1 <= len([1 for _, _, before, to in world.moves if to > before]) <= 6
    latest = max((each for goal in report.goals for each in report.store.decisions.of_goal(goal.goal.goal_id)), key=at)
    assert "did not help" in latest.explanation


def at(decision: Any) -> datetime:
    """Return when a decision was made."""
    moment: datetime = decision.at
    return moment


class Servers:
    """Servers under an even load, far more than it needs; nobody complains."""

    def __init__(self) -> None:
        self.minute, self.servers = 0, 13

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        while START + (self.minute + 1) * MINUTE <= tick:
            self.minute += 1
            rate = 3.0 + 0.2 * (self.minute % 3)
            seen = {"rate": rate, "servers": float(self.servers), "load": rate / self.servers}
            for name, value in seen.items():
                yield Sample(metric=name, value=value, ts=START + self.minute * MINUTE)

    def act(self, action: Action, tick: datetime) -> Receipt:
        self.servers = int(action.params["amount"])
        return Receipt(action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, started_at=tick, finished_at=tick)


@pytest.mark.parametrize(
    ("unit_cost", "is_given_back"), [({"unit_cost": 0.01}, True), ({}, True), ({"unit_cost": 0}, False)]
)
def test_too_many_servers_of_a_driven_objective_come_in_though_nothing_breaks(
    tmp_path: Path, unit_cost: dict[str, float], is_given_back: bool
) -> None:
    world = Servers()
    objective = {"name": "load", "metric": "load", "bound": 0.8, "severity": 0.8, "horizon_s": 1_800}
    driven = {"driver": "rate", "capacity": "servers", "response": {"form": "ratio", "work": 1.0}}
    setter = {"sets": "servers", "amounts": {"least": 1, "most": 20}, "latency_seconds": 120}
    settings = load_settings(
        tmp_path,
        home=tmp_path,
        use_default_objectives=False,
        agent={"analysis_interval_minutes": 5},
        objectives=[objective | driven],
        actions={"set_servers": setter | unit_cost},
    )
    report = simulate(world, settings, [START + (60 + 5 * n) * MINUTE for n in range(12)])
    kinds = {view.goal.goal_type for view in report.goals}
    if is_given_back:
        assert 4 <= world.servers <= 7
        assert GoalType.COST_REDUCTION in kinds
    else:
        assert world.servers == 13
        assert kinds == set()


class Content:
    """A site whose load grows with the content that it serves, which nobody changed before; `moves` are what is set."""

    def __init__(self) -> None:
        self.minute, self.content = 0, 0.8
        self.moves: list[float] = []

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        while START + (self.minute + 1) * MINUTE <= tick:
            self.minute += 1
            rate = (60.0 if self.minute < 70 else 130.0) + self.minute % 5
            seen = {"rate": rate, "content": self.content, "load": 0.01 * rate * self.content}
            for name, value in seen.items():
                yield Sample(metric=name, value=value, ts=START + self.minute * MINUTE)

    def act(self, action: Action, tick: datetime) -> Receipt:
        self.content = float(action.params["amount"])
        self.moves.append(self.content)
        return Receipt(action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, started_at=tick, finished_at=tick)


def test_what_is_declared_to_strain_is_lowered_in_a_breach_though_it_never_varied_before(tmp_path: Path) -> None:
    world = Content()
    objective = {"name": "load", "metric": "load", "bound": 0.8, "severity": 0.8, "horizon_s": 1_800}
    amounts = {"least": 0.1, "most": 1.0, "step": 0.1}
    settings = load_settings(
        tmp_path,
        home=tmp_path,
        use_default_objectives=False,
        agent={"analysis_interval_minutes": 5},
        objectives=[objective | {"driver": "rate", "capacity": "content"}],
        actions={"set_content": {"sets": "content", "amounts": amounts, "expected_effect": {"load": 1.0}}},
    )
    simulate(world, settings, [START + (60 + 5 * n) * MINUTE for n in range(10)])
    assert world.moves[0] == pytest.approx(0.7), "by one step, and not before the breach"
    assert world.content * 1.35 <= 0.8
