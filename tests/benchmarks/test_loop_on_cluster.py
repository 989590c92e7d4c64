"""The general loop runs the cluster by a configuration alone: two actions, four objectives, nothing written for it."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import pytest

from benchmarks.cluster.cluster_world import ClusterWorld
from benchmarks.cluster.simulator import ClusterConfig, Period
from benchmarks.control.baselines import Autoscaler, Reactive
from benchmarks.control.hindsight import Foresight
from benchmarks.control.loop import configured, drive
from benchmarks.control.run import run, run_world
from benchmarks.control.traffic import Calendar, TrafficDay
from flows.reports.results import SimulationReport
from flows.simulate import simulate
from storage.records import ReceiptStatus, Strategy
from tests import IS_THOROUGH

CONFIG = ClusterConfig()
RATIO = "cluster_busy_servers/cluster_active_servers"
FIRST_TICKS = 30


@pytest.fixture(scope="module")
def episode() -> TrafficDay:
    calendar = Calendar.synthetic(seed=1, day_count=6)
    return calendar.episode(calendar.names[-1], 0, peak=240.0)


@pytest.fixture(scope="module")
def morning(episode: TrafficDay) -> tuple[SimulationReport, list[Period]]:
    """The first half hour of a day under the loop."""
    reports: list[SimulationReport] = []

    def begin(world: ClusterWorld, ticks: list[datetime]) -> None:
        reports.append(simulate(world, configured(CONFIG), ticks[:FIRST_TICKS]))

    _, periods = run_world(begin, episode, CONFIG)
    return reports[0], periods


def test_the_ratio_that_an_objective_names_is_recorded_like_any_series(
    morning: tuple[SimulationReport, list[Period]],
) -> None:
    report, periods = morning
    frame = report.store.samples.frame([RATIO], report.last_tick, 60.0, FIRST_TICKS)
    shown = [period.utilisation / period.active_servers for period in periods][9:]
    assert frame.values[0][1:].tolist() == pytest.approx(shown[: FIRST_TICKS - 1])


def test_goals_are_raised_on_the_driver_and_both_amounts_are_set(
    morning: tuple[SimulationReport, list[Period]],
) -> None:
    report, _ = morning
    assert {"load-per-server", "full-content"} <= {view.goal.objective for view in report.goals}
    done = {view.action.name for view in report.actions if view.receipt is not None}
    assert done == {"set_servers", "set_dimmer"}
    assert all(view.receipt.status is ReceiptStatus.SUCCEEDED for view in report.actions if view.receipt)


def test_no_server_is_asked_for_while_one_boots(morning: tuple[SimulationReport, list[Period]]) -> None:
    report, _ = morning
    ups = sorted(view.action.created_at for view in report.actions if view.action.name == "set_servers")
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(ups)]
    assert ups
    assert min(gaps, default=CONFIG.boot_delay_s) >= CONFIG.boot_delay_s


def test_every_decision_is_told_in_plain_english(morning: tuple[SimulationReport, list[Period]]) -> None:
    report, _ = morning
    decisions = report.store.decisions.latest(500)
    acts = [each for each in decisions if each.explanation.startswith(("set_servers to", "set_dimmer to"))]
    assert acts
    for decision in acts:
        assert "of cluster_requests_per_second" in decision.explanation
        assert "Compared with the present amount it saves" in decision.explanation
        assert decision.chosen.propensity == 1.0
        assert decision.strategy in {Strategy.ADAPTIVE, Strategy.COLLABORATIVE}


@pytest.mark.skipif(not IS_THOROUGH, reason="`make bench-worlds` says so too; `make thorough` runs it")
def test_the_loop_is_worth_most_of_perfect_foresight(episode: TrafficDay) -> None:
    floor = run(Reactive(CONFIG), episode, CONFIG)[0].utility
    ceiling = run(Foresight(CONFIG, episode.rates, 0.8, 4), episode, CONFIG)[0].utility
    autoscaler = run(Autoscaler(CONFIG), episode, CONFIG)[0].utility
    mine = run_world(drive(configured(CONFIG)), episode, CONFIG)[0].utility
    assert mine > autoscaler
    assert (mine - floor) / (ceiling - floor) >= 0.70
