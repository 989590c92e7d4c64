"""The reference cluster keeps the rules it states."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.cluster.demand import Demand, poisson_arrivals, synthetic_days
from benchmarks.cluster.queue import ProcessorSharingServer, Served
from benchmarks.cluster.simulator import ClusterConfig, ClusterSim, Period, Requests, is_late, period_utility
from tests import sized

WARM = ClusterConfig(cold_full_s=0.0, cold_light_s=0.0)


def steady(rate: float, duration_s: float, seed: int = 0) -> Requests:
    return Requests.draw(poisson_arrivals(Demand(np.full(1, rate), duration_s), seed), seed)


def serve(
    arrivals: list[float], works: list[float], until_s: float, room: int = 100, patience_s: float = 10.0
) -> Served:
    server = ProcessorSharingServer(0.0, max_in_service=room, patience_s=patience_s, cache_decay=1.0)
    cold = [0.0] * len(works)
    return server.run(until_s, arrivals, works, cold, 0, 1, lambda job: (works[job], 0.0))


def naive_departures(arrivals: list[float], works: list[float], room: int) -> list[float]:
    """Share a server the plain way: step from event to event and take an equal part off every job in service."""
    left: dict[int, float] = {}
    waiting: list[int] = []
    departed = [math.nan] * len(arrivals)
    now, upcoming = 0.0, 0
    while upcoming < len(arrivals) or left:
        next_arrival = arrivals[upcoming] if upcoming < len(arrivals) else math.inf
        next_finish = now + min(left.values()) * len(left) if left else math.inf
        moment = min(next_arrival, next_finish)
        left = {job: work - (moment - now) / len(left) for job, work in left.items()} if left else left
        now = moment
        if next_finish <= next_arrival:
            job = min(left, key=lambda one: left[one])
            departed[job] = now
            del left[job]
            if waiting:
                first = waiting.pop(0)
                left[first] = works[first]
        else:
            if len(left) < room:
                left[upcoming] = works[upcoming]
            else:
                waiting.append(upcoming)
            upcoming += 1
    return departed


def answered(period: Period) -> int:
    return period.completed + period.unserved


jobs = st.lists(st.tuples(st.floats(0.0, 1.0, allow_subnormal=False), st.floats(1e-3, 2.0)), min_size=1, max_size=40)


@given(jobs=jobs, room=st.integers(1, 5))
@settings(max_examples=sized(30, 60), deadline=None)
def test_virtual_time_gives_the_departures_of_plain_processor_sharing(
    jobs: list[tuple[float, float]], room: int
) -> None:
    arrivals = np.cumsum([gap for gap, _ in jobs]).tolist()
    works = [work for _, work in jobs]
    expected = naive_departures(arrivals, works, room)
    served = serve(arrivals, works, max(expected) + 1.0, room, patience_s=math.inf)
    assert served.completed == len(jobs)
    assert served.response_sum_s == pytest.approx(sum(expected) - sum(arrivals), rel=1e-6, abs=1e-6)


@given(cuts=st.lists(st.floats(0.1, 29.9), max_size=5), seed=st.integers(0, 10))
@settings(max_examples=20, deadline=None)
def test_looking_more_often_does_not_change_what_happens(cuts: list[float], seed: int) -> None:
    requests = steady(70.0, 30.0, seed)
    whole = ClusterSim(requests).advance(30.0)
    sim = ClusterSim(requests)
    parts = [sim.advance(moment) for moment in [*sorted(set(cuts)), 30.0]]
    assert sum(answered(part) for part in parts) == answered(whole)
    total = sum(part.response_time_s * answered(part) for part in parts if answered(part))
    assert total == pytest.approx(whole.response_time_s * answered(whole), rel=1e-6)


def test_two_jobs_share_a_server_equally() -> None:
    served = serve([0.0, 0.0], [1.0, 2.0], 10.0)
    assert served == Served(completed=2, unserved=0, response_sum_s=5.0, idle_s=7.0)


def test_a_job_that_waited_too_long_leaves_unserved_and_its_time_counts() -> None:
    served = serve([0.0, 1.0, 2.0], [11.5, 1.0, 1.0], 20.0, room=1)
    assert (served.completed, served.unserved) == (2, 1)
    assert served.response_sum_s == pytest.approx(11.5 + (11.5 - 1.0) + (12.5 - 2.0))


def test_mean_response_time_is_that_of_processor_sharing_theory() -> None:
    requests = steady(0.5 * 3 / 0.03863, 600.0)
    sim = ClusterSim(requests, replace(WARM, initial_dimmer=1.0))
    sim.advance(60.0)
    # Round robin makes arrivals at each server more regular than Poisson, so the M/G/1-PS mean is an upper bound.
    response_time_s = sim.advance(600.0).response_time_s
    assert 0.03863 < response_time_s < 0.03863 / (1 - 0.5)


def test_work_has_the_mean_of_a_truncated_normal() -> None:
    assert steady(1000.0, 100.0).size.mean() * 0.030 == pytest.approx(0.03863, rel=0.01)


def test_same_requests_and_commands_give_the_same_run() -> None:
    def run() -> list[Period]:
        sim = ClusterSim(steady(100.0, 300.0, seed=3))
        sim.add_server()
        return [sim.advance(60.0 * (turn + 1)) for turn in range(5)]

    assert run() == run()


def test_a_server_costs_from_the_start_and_serves_after_the_boot_delay() -> None:
    sim = ClusterSim(steady(10.0, 400.0))
    assert sim.add_server()
    early, late = sim.advance(170.0), sim.advance(190.0)
    assert (early.servers, early.active_servers, early.mean_servers) == (4, 3, 4.0)
    assert (late.servers, late.active_servers) == (4, 4)


def test_one_server_boots_at_a_time() -> None:
    sim = ClusterSim(steady(10.0, 400.0))
    assert sim.add_server()
    assert not sim.add_server()


def test_no_more_servers_than_there_are_and_never_none() -> None:
    sim = ClusterSim(steady(10.0, 60.0), replace(WARM, max_servers=3))
    assert not sim.add_server()
    assert [sim.remove_server() for _ in range(3)] == [True, True, False]


def test_removing_cancels_a_boot_in_progress() -> None:
    sim = ClusterSim(steady(10.0, 400.0))
    sim.add_server()
    assert sim.remove_server()
    assert sim.advance(300.0).active_servers == 3


def test_a_removed_server_costs_until_its_last_request_is_out() -> None:
    sim = ClusterSim(steady(400.0, 30.0), replace(WARM, initial_dimmer=1.0))
    sim.advance(20.0)
    sim.remove_server()
    period = sim.advance(40.0)
    assert 2.0 < period.mean_servers < 3.0


def test_light_content_relieves_the_cluster() -> None:
    def response_time_s(dimmer: float) -> float:
        sim = ClusterSim(steady(100.0, 120.0))
        assert sim.set_dimmer(dimmer)
        return sim.advance(120.0).response_time_s

    assert response_time_s(0.0) < 0.01 < 1.0 < response_time_s(1.0)


def test_a_cold_cache_slows_a_new_server_down() -> None:
    def response_time_s(config: ClusterConfig) -> float:
        return ClusterSim(steady(30.0, 60.0), config).advance(60.0).response_time_s

    assert response_time_s(ClusterConfig()) > 1.5 * response_time_s(WARM)


@pytest.mark.parametrize("dimmer", [-0.1, 1.1, math.nan])
def test_a_dimmer_outside_its_range_is_refused(dimmer: float) -> None:
    assert not ClusterSim(steady(1.0, 1.0)).set_dimmer(dimmer)


def test_time_does_not_run_backwards() -> None:
    sim = ClusterSim(steady(1.0, 10.0))
    sim.advance(5.0)
    with pytest.raises(ValueError, match="not ahead"):
        sim.advance(5.0)


def period(**changes: float) -> Period:
    seen = Period(0.0, 60.0, 100.0, 0.05, 6000, 0, 2.0, 5, 5, 1.0, 5.0)
    return replace(seen, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "utility"),
    [
        (period(), 150.0 + 70.0),
        (period(dimmer=0.5), 125.0),
        (period(response_time_s=0.76), 1.5 * (100.0 - 12 / 0.04452713)),
        (period(response_time_s=0.76, arrival_rate=300.0), 0.0),
        (period(response_time_s=math.nan), 1.5 * (100.0 - 12 / 0.04452713)),
        (period(response_time_s=math.nan, arrival_rate=0.0), 70.0),
    ],
)
def test_utility_of_a_period_is_as_stated(seen: Period, utility: float) -> None:
    assert period_utility(seen, ClusterConfig()) == pytest.approx(utility)
    assert is_late(seen, ClusterConfig()) == (utility < 0 or seen.arrival_rate == 300.0)


def test_arrivals_are_ordered_and_follow_the_rate() -> None:
    demand = Demand(np.array([10.0, 0.0, 50.0]), 100.0)
    arrivals = poisson_arrivals(demand, seed=1)
    counts = np.histogram(arrivals, bins=[0, 100, 200, 300])[0]
    assert np.all(np.diff(arrivals) >= 0)
    assert counts == pytest.approx([1000, 0, 5000], rel=0.1)


def test_mean_rates_keep_the_number_of_requests() -> None:
    demand = Demand(np.arange(1440.0), 4.375)
    rates = demand.mean_rates(60.0)
    assert len(rates) == 105
    assert rates.sum() * 60.0 == pytest.approx(demand.rates.sum() * 4.375)


def test_made_up_days_peak_where_they_should() -> None:
    days = synthetic_days(6, peak_rate=240.0, seed=4)
    assert len(days) == 6
    assert days[-1].mean_rates(60.0).max() == pytest.approx(240.0)
    assert all(day.rates.min() > 0 for day in days)


def test_a_server_that_comes_back_finds_the_cache_of_the_one_removed_from_its_place() -> None:
    sim = ClusterSim(steady(60.0, 900.0), ClusterConfig(boot_delay_s=60.0))
    cold = sim.advance(60.0).response_time_s
    sim.advance(400.0)
    sim.remove_server()
    sim.advance(460.0)
    assert sim.add_server()
    sim.advance(520.0)
    assert sim.active_servers == 3
    assert sim.advance(580.0).response_time_s < cold / 2
