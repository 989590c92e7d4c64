"""What is over between two cycles is measured between them: `tend` is due as soon as `measure` has something to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.background.tend_starter import TendStarter, due
from api.facade import Facade
from api.prefect_client import Started, Trigger
from flows.cycle import bare_turn, second_half
from flows.simulate import TickClock
from flows.wiring import live_context
from settings import Settings, load_settings
from storage import Store, open_store
from storage.records import Forecast, Outcome, Sample, Verdict
from tasks.context import Context
from tasks.interventions.undo import undo_of
from tasks.measure import fix_before_act
from tests.flows.worlds import DRIVEN, MINUTE
from tests.tasks.execute.acts import TICK, action_of, goal_of, opening, receipt_of

HISTORY, WORKS_AFTER = 600, 3
WINDOW = timedelta(minutes=12)


@dataclass
class TendsHere(Trigger):
    """Runs `tend` in this process, at the moment at which it is started."""

    farm: ServerFarm

    def running(self, deployment: str, but: str | None = None) -> Started | None:
        return None

    def run(self, deployment: str, parameters: Mapping[str, Any] | None = None, key: str | None = None) -> Started:
        assert deployment == "tend"
        bare_turn(self.farm.context("tend"), second_half)
        return Started(f"run-{self.farm.clock.now:%H%M}", "")


class ServerFarm:
    """Workers that share what arrives; what is added works three minutes later. A store, and a clock set by hand."""

    def __init__(self, settings: Settings, store: Store, clock: TickClock) -> None:
        self.settings, self.store, self.clock = settings, store, clock
        self.facade = Facade(settings, store, TendsHere(self), clock, started_at=clock.now)
        rng, minutes = np.random.default_rng(5), np.arange(-HISTORY, 60) + 1
        self.arrivals = 26 + 12 * np.sin(2 * np.pi * minutes / 120) + rng.normal(0, 0.8, len(minutes))
        self.noise = rng.normal(0, 0.02, len(minutes))
        self.recorded = 0

    def context(self, kind: str) -> Context:
        return live_context(self.settings, self.store, self.clock.now, kind, actions={}, now=self.clock)

    def live_until(self, moment: datetime, workers: float, *, metrics: tuple[str, ...] = ("load",)) -> None:
        """Record what came up to a moment."""
        self.clock.now = moment
        end = HISTORY + round((moment - TICK) / MINUTE)
        for place in range(self.recorded, end):
            ts, arrivals = TICK + (place + 1 - HISTORY) * MINUTE, float(self.arrivals[place])
            load = 0.05 * arrivals / workers + float(self.noise[place])
            values = {"arrivals": arrivals, "workers": workers, "load": load}
            names = ("arrivals", "workers", *metrics)
            self.store.samples.append([Sample(metric=name, value=values[name], ts=ts) for name in names])
        self.recorded = end

    def set_workers(self, amount: float) -> None:
        """Set an amount as the loop does: written down first what it is judged by, then done."""
        action = action_of(name="set_workers", series=None, params={"amount": amount}, horizon_s=WINDOW.total_seconds())
        assert fix_before_act(self.context("cycle"), action) is not None
        self.store.actions.append([action], "cycle-1")
        self.store.actions.finish(receipt_of(action.action_id, self.clock.now))


@pytest.fixture
def farm(tmp_path: Path) -> ServerFarm:
    """Return a farm on which two workers became four at the last cycle; the next one is an hour away."""
    settings = load_settings(
        tmp_path,
        home=tmp_path,
        use_default_objectives=False,
        objectives=(DRIVEN,),
        agent={"analysis_interval_minutes": 60},
        actions={"set_workers": {"sets": "workers", "latency_seconds": WORKS_AFTER * 60}},
    )
    clock = TickClock(TICK)
    made = ServerFarm(settings, open_store(clock=clock), clock)
    made.live_until(TICK - 300 * MINUTE, 3)
    made.live_until(TICK, 2)
    goal = goal_of(objective=DRIVEN.name, series="load")
    made.store.goals.append([goal], [opening(goal)], "cycle-1")
    flat = np.full(60, 26.0)
    made.store.forecasts.append(
        [
            Forecast(
                series="arrivals",
                issued_at=TICK,
                step_s=60,
                levels=(0.05, 0.5, 0.95),
                point=flat,
                quantiles=np.stack([flat - 9, flat, flat + 9], axis=1),
                method="level",
            )
        ],
        "cycle-1",
    )
    made.set_workers(4)
    return made


def outcomes(farm: ServerFarm) -> list[Outcome]:
    return farm.store.outcomes.of_action("a")


def test_an_amount_whose_window_ends_between_two_cycles_is_measured_by_the_tend_that_is_due_then(
    farm: ServerFarm,
) -> None:
    starter, ends_at = TendStarter(farm.facade), TICK + WORKS_AFTER * MINUTE + WINDOW
    farm.live_until(ends_at - MINUTE, 4)
    starter.step()
    assert outcomes(farm) == [], "what was added works only three minutes after the act: the window is not over"
    farm.live_until(ends_at, 4)
    need = due(farm.facade, ends_at)
    assert need is not None
    assert (need.reason, need.subjects) == ("matured window", {"a"})
    starter.step()
    (outcome,) = outcomes(farm)
    assert (outcome.series, outcome.verdict) == ("load", Verdict.IMPROVED)
    assert outcome.horizon_s == WINDOW.total_seconds()
    assert due(farm.facade, ends_at) is None


def test_tend_waits_for_a_late_value_as_measure_does(farm: ServerFarm) -> None:
    ends_at = TICK + WORKS_AFTER * MINUTE + WINDOW
    farm.live_until(ends_at - 2 * MINUTE, 4)
    farm.live_until(ends_at + MINUTE, 4, metrics=())
    assert due(farm.facade, ends_at + MINUTE) is None
    assert due(farm.facade, ends_at + WINDOW - MINUTE) is None, "it is waited for as long as the window was"
    assert due(farm.facade, ends_at + WINDOW) is not None
    farm.clock.now = ends_at + WINDOW
    TendStarter(farm.facade).step()
    assert len(outcomes(farm)) == 1


def test_an_amount_that_was_undone_is_measured_up_to_then(farm: ServerFarm) -> None:
    undone_at = TICK + (WORKS_AFTER + 9) * MINUTE
    farm.live_until(undone_at, 4)
    view = farm.store.actions.get("a")
    assert view is not None
    undo = undo_of(view, undone_at, is_reversible=True)
    farm.store.actions.append([undo], "cycle-1")
    farm.store.actions.finish(receipt_of(undo.action_id, undone_at))
    TendStarter(farm.facade).step()
    (outcome,) = outcomes(farm)
    assert outcome.horizon_s == 540
    assert outcome.verdict is Verdict.IMPROVED
