"""A goal says what caused it, its action goes there, and what helped is remembered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from flows.simulate import simulate
from settings import Settings
from storage import open_store
from storage.records import Action, Event, GoalView, Objective, Receipt, ReceiptStatus, Sample
from tasks.causes import in_force

START, MINUTE = datetime(2026, 3, 2, tzinfo=UTC), timedelta(minutes=1)
CHAIN = ("shop", "cart", "db", "search")
TOPOLOGY = {"depends_on": {"shop": ["cart", "search"], "cart": ["db"]}, "traffic": "requests"}
NOT_TOUCHED = {"start": "05:00", "end": "05:40"}
OBJECTIVE = Objective(name="fast", metric='latency{service="shop"}', bound=300.0, severity=0.9, horizon_s=1_800)


class SlowDatabase:
    """A shop whose database is slow for an hour twice; all that depends on it is slower by as much."""

    def __init__(self) -> None:
        self.minute, self.acts = 0, list[Action]()
        self.healed_until = 0
        self.rng = np.random.default_rng(5)

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        while START + (self.minute + 1) * MINUTE <= tick:
            self.minute += 1
            is_slow = any(at <= self.minute < at + 60 for at in (305, 505)) and self.minute > self.healed_until
            for service, base_ms, noise in zip(CHAIN, (200, 90, 30, 40), (10, 5, 2, 4), strict=True):
                lost = 250.0 if is_slow and service != "search" else 0.0
                ts, labels = START + self.minute * MINUTE, {"service": service}
                yield Sample(metric="latency", value=base_ms + lost + self.rng.normal(0, noise), ts=ts, labels=labels)
                yield Sample(metric="requests", value=100 + self.rng.normal(0, 5), ts=ts, labels=labels)

    def act(self, action: Action, tick: datetime) -> Receipt:
        self.acts.append(action)
        if action.params.get("of") == "db":
            self.healed_until = self.minute + 60
        return Receipt(action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, started_at=tick, finished_at=tick)


def lived(topology: dict[str, Any], minutes: int = 320) -> tuple[SlowDatabase, list[GoalView]]:
    """Return the world after some minutes, in which it had up to two incidents, and the goals about the shop."""
    restart = {
        "goal_types": ["PERFORMANCE_TARGET", "SLA_MAINTENANCE", "BOTTLENECK_PREVENTION"],
        "level": "auto",
        "candidates": [{"of": service} for service in CHAIN],
        "expected_effect": {"latency": -3.0},
        "cooldown_seconds": 600,
    }
    settings = Settings.model_validate(
        {
            "use_default_objectives": False,
            "objectives": [OBJECTIVE],
            "actions": {"restart": restart},
            "topology": topology,
            # Until then nobody may touch it: what helps after half an hour is told from what ends by itself.
            "executor": {"holdout_ratio": 0, "measure_horizon_seconds": 600, "maintenance": [NOT_TOUCHED]},
        }
    )
    world, store = SlowDatabase(), open_store(":memory:")
    ticks = [START + minute * MINUTE for minute in range(300, 300 + minutes, 5)]
    simulate(world, settings, ticks, store)
    goals = [view for view in store.goals.all() if view.goal.objective == "fast" and view.goal.series]
    return world, sorted(goals, key=lambda view: view.goal.created_at)


def test_a_goal_names_its_cause_acts_there_and_remembers_what_helped() -> None:
    world, goals = lived(TOPOLOGY)
    first, second = (view.goal.because["causes"] for view in goals)
    assert [first["ranked"][0][key] for key in ("component", "path")] == ["db", ["shop", "cart", "db"]]
    assert first["sentence"].startswith("Likely cause: db, which it depends on by shop → cart → db: latency rose")
    assert {action.params["of"] for action in world.acts} == {"db"}
    assert [each["helped"] for each in second["similar"]] == [["restart"]]
    assert "The same was found once before, last on 02 March: restart helped then." in second["sentence"]


def test_a_topology_of_unknown_names_in_a_circle_is_told_of_and_changes_nothing_else() -> None:
    _, goals = lived({"depends_on": {"left": ["right"], "right": ["left"]}}, minutes=20)
    told = goals[0].goal.because["causes"]["sentence"]
    assert "Nothing is recorded of left, right, named in [topology]." in told
    assert "depend on each other; the loudest counts." in told
    assert "The topology does not name shop, so all that is recorded was compared." in told
    assert goals[0].goal.because["causes"]["ranked"][0]["component"] in CHAIN


def test_a_turn_without_a_new_goal_looks_for_no_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []
    monkeypatch.setattr(in_force, "rank_causes", lambda _, target, *more, **others: searched.append(target))
    calm = Settings.model_validate({"use_default_objectives": False, "objectives": [OBJECTIVE]})
    simulate(SlowDatabase(), calm, [START + minute * MINUTE for minute in (280, 290, 300)], ":memory:")
    assert searched == []
