"""What an action that sets an amount changed is measured in the loop, and not mistaken for what the load did."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from flows.reports.results import SimulationReport
from flows.simulate import simulate
from settings import load_settings
from storage.records import Action, Event, Receipt, ReceiptStatus, Sample, Verdict
from tests.flows.worlds import DRIVEN, MINUTE, START


class Farm:
    """Workers that share what arrives, which swings within two hours; it obeys, or only says so."""

    def __init__(self, obeys: bool) -> None:
        self.said = self.works = 2.0
        self.minute, self.obeys, self.rng = 0, obeys, np.random.default_rng(5)

    def observe(self, tick: datetime) -> Iterator[Sample | Event]:
        while START + (self.minute + 1) * MINUTE <= tick:
            self.minute += 1
            arrivals = 26 + 12 * np.sin(2 * np.pi * self.minute / 120) + self.rng.normal(0, 0.8)
            load = 0.05 * arrivals / self.works + self.rng.normal(0, 0.02)
            for name, value in (("arrivals", arrivals), ("load", load), ("workers", self.said)):
                yield Sample(metric=name, value=float(value), ts=START + self.minute * MINUTE)

    def act(self, action: Action, tick: datetime) -> Receipt:
        self.said = float(action.params["amount"])
        if self.obeys:
            self.works = self.said
        return Receipt(action_id=action.action_id, status=ReceiptStatus.SUCCEEDED, started_at=tick, finished_at=tick)


def run(folder: Path, obeys: bool) -> SimulationReport:
    settings = load_settings(
        folder,
        use_default_objectives=False,
        objectives=(DRIVEN,),
        agent={"analysis_interval_minutes": 5},
        executor={"measure_horizon_seconds": 900, "rate_limits": ["1000/day"], "blast_radius": 100},
        actions={
            "set_workers": {
                "sets": "workers",
                "amounts": {"least": 1, "most": 6},
                "unit_cost": 0.02,
                "cooldown_seconds": 0,
                "goal_types": ["BOTTLENECK_PREVENTION"],
                "metrics": ["load"],
            }
        },
    )
    return simulate(Farm(obeys), settings, [START + minute * MINUTE for minute in range(300, 720, 5)])


@pytest.mark.slow
def test_more_workers_are_seen_to_take_off_load_and_that_is_learned(tmp_path: Path) -> None:
    report = run(tmp_path, obeys=True)
    mine = [each for each in report.outcomes if each.action == "set_workers"]
    assert any(each.verdict is Verdict.IMPROVED for each in mine)
    assert not any(each.verdict is Verdict.WORSE for each in mine)
    told = next(each for each in mine if each.verdict is Verdict.IMPROVED)
    assert (told.series, told.role) == ("load", "target")
    assert "compared with workers = " in told.reason
    assert len(told.evidence["forecast"]) == len(told.evidence["observed"]) == 15
    estimand = report.store.outcomes.estimand(told.action_id)
    assert estimand is not None
    assert estimand.held is not None
    assert estimand.held.capacity == "workers"
    belief = report.store.outcomes.belief()
    assert belief is not None
    assert belief.outcome_count >= 1
    assert not [view for view in report.actions if view.action.undo_of]


@pytest.mark.slow
def test_an_amount_that_was_only_said_to_be_set_is_not_praised(tmp_path: Path) -> None:
    mine = [each for each in run(tmp_path, obeys=False).outcomes if each.action == "set_workers"]
    assert mine
    assert not any(each.verdict is Verdict.IMPROVED for each in mine)
