"""The first acts of a plain configuration: measured although the metric is young, and not mistaken for one another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks.worlds.against_truth import plain_settings
from benchmarks.worlds.bloat import Bloat
from benchmarks.worlds.faults import CountedFaults
from benchmarks.worlds.policies import nothing, play, run_out
from flows.simulate import simulate
from settings import load_settings
from storage.records import Action, Event, Receipt, ReceiptStatus, Sample
from tests.flows.worlds import START

SECOND = timedelta(seconds=1)


class Service:
    """The stand-in of docs/watch-my-service.md: calm for two minutes, then three times the requests."""

    def __init__(self, seed: int) -> None:
        self.load, self.workers, self.second = 20.0, 2, 0
        self.rng = np.random.default_rng(seed)

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        while START + (self.second + 1) * SECOND <= tick:
            self.second += 1
            self.load += max(-1, min(1, (20 if self.second < 140 else 60) - self.load))
            response_ms = 40 + 8 * self.load / self.workers + self.rng.normal(0, 5)
            yield Sample(metric="response_ms", value=response_ms, ts=START + self.second * SECOND, unit="ms")

    def act(self, action: Action, tick: datetime) -> Receipt:
        self.workers += 2
        return Receipt(action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, started_at=tick, finished_at=tick)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_service_that_is_three_minutes_old_has_its_first_act_measured_within_a_minute(
    tmp_path: Path, seed: int
) -> None:
    settings = load_settings(
        tmp_path,
        use_default_objectives=False,
        agent={"analysis_interval_minutes": 0.5},
        executor={"measure_horizon_seconds": 30, "execution_interval_seconds": 2, "holdout_ratio": 0},
        objectives=[{"name": "fast", "metric": "response_ms", "bound": 200, "severity": 0.8, "horizon_s": 60}],
        actions={
            "more_workers": {
                "expected_change": {"response_ms": -120},
                "cost": 0.01,
                "latency_seconds": 2,
                "cooldown_seconds": 300,
                "candidates": [{}],
                "level": "auto",
            }
        },
    )
    report = simulate(Service(seed), settings, [START + each * 30 * SECOND for each in range(1, 14)])
    (first, *_) = sorted(report.outcomes, key=lambda each: each.acted_at)
    assert first.measured_at - first.acted_at <= 60 * SECOND
    assert first.low is not None, first.reason
    assert first.high is not None
    assert first.low < -100 < first.high, "half of 8 × 60 / 2 ms"


@pytest.mark.slow
def test_a_failing_request_in_twenty_burns_a_budget_on_counters_and_is_mended(tmp_path: Path) -> None:
    world = CountedFaults(0, 2.0)
    report = simulate(world, plain_settings(world, tmp_path), world.ticks)
    assert report.goals
    assert {str(view.goal.goal_type) for view in report.goals} >= {"SLA_MAINTENANCE"}
    assert run_out(world).costs().sum() < 0.25 * play(CountedFaults(0, 2.0), nothing).costs().sum()
    assert world.unsafe(report) == []


@pytest.mark.slow
def test_the_cure_of_an_act_that_hurts_first_is_not_taken_for_the_work_of_the_next_one(tmp_path: Path) -> None:
    world = Bloat(0, 3.0)
    report = simulate(world, plain_settings(world, tmp_path), world.ticks)
    done = [each.command.name for each in world.done]
    assert done.count("vacuum") >= done.count("reindex")
    assert run_out(world).costs().sum() < 2.0
    assert not [each for each in report.outcomes if each.action == "reindex" and each.verdict == "improved"]
