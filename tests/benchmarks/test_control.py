"""The closed-loop benchmark measures what it says it measures."""

from __future__ import annotations

import gzip
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cluster.cluster_world import ClusterWorld
from benchmarks.cluster.simulator import ClusterConfig, Period
from benchmarks.control.__main__ import day_scores, missed, table
from benchmarks.control.baselines import Autoscaler, HoltWinters, PredictLinear, Reactive, nothing
from benchmarks.control.contenders import FED, FORESIGHT, REACTIVE, contenders, measure
from benchmarks.control.fed_autoscaler import FedAutoscaler
from benchmarks.control.hindsight import Constant, Foresight
from benchmarks.control.planner import DriverPlanner, profile_paths
from benchmarks.control.profile_rule import ProfileRule, profile_ahead
from benchmarks.control.run import Policy, RunResult, dim, run, run_world
from benchmarks.control.traffic import PERIODS_PER_DAY, Calendar, TrafficDay

CONFIG = ClusterConfig()


@pytest.fixture(scope="module")
def episode() -> TrafficDay:
    calendar = Calendar.synthetic(seed=1, day_count=6)
    return calendar.episode(calendar.names[-1], 0, peak=70.0)


def period(**changes: float) -> Period:
    shown = {"response_time_s": 0.05, "utilisation": 2.0, "servers": 3, "active_servers": 3, "dimmer": 1.0}
    shown |= changes
    return Period(0.0, 60.0, 50.0, completed=1, unserved=0, mean_servers=3.0, **shown)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "commands"),
    [
        (period(response_time_s=0.8), ["add_server"]),
        (period(response_time_s=0.8, servers=4), ["set_dimmer"]),
        (period(utilisation=1.5), ["remove_server"]),
        (period(utilisation=1.5, dimmer=0.5), ["set_dimmer"]),
        (period(utilisation=2.5), []),
        (period(utilisation=0.1, servers=1, active_servers=1, dimmer=1.0), []),
    ],
)
def test_the_reactive_policy_takes_the_steps_of_swims_manager(seen: Period, commands: list[str]) -> None:
    assert [one.name for one in Reactive(CONFIG)([seen], np.empty(0))] == commands


def test_the_autoscaler_grows_at_once_and_shrinks_after_its_hold() -> None:
    policy = Autoscaler(CONFIG)
    assert [one.name for one in policy([period(utilisation=3.0)], np.empty(0))] == ["add_server"]
    calm = [policy([period(utilisation=0.6)], np.empty(0)) for _ in range(5)]
    assert [len(commands) for commands in calm[:-1]] == [1, 1, 1, 1]
    assert {one.name for one in calm[0]} == {"add_server"}
    assert [one.name for one in calm[-1]] == ["remove_server", "remove_server"]


def test_holt_winters_sees_a_load_coming_that_came_every_day() -> None:
    daily = np.where(np.arange(PERIODS_PER_DAY) >= 50, 150.0, 30.0)
    history = np.tile(daily, 4)
    quiet = [period(utilisation=1.2) for _ in range(50)]
    assert HoltWinters(CONFIG, PERIODS_PER_DAY).wanted(quiet, history) > Autoscaler(CONFIG).wanted(quiet, history)


def test_every_policy_finishes_a_day_and_foresight_leads(episode: TrafficDay) -> None:
    policies: dict[str, Policy] = {
        "nothing": nothing,
        REACTIVE: Reactive(CONFIG),
        "HPA": Autoscaler(CONFIG),
        "predict_linear": PredictLinear(CONFIG),
        "Holt-Winters": HoltWinters(CONFIG, PERIODS_PER_DAY),
        "profile": ProfileRule(CONFIG, PERIODS_PER_DAY),
        "driver plan": DriverPlanner(CONFIG, PERIODS_PER_DAY),
        "constant": Constant(CONFIG, 5, 1.0),
        FORESIGHT: Foresight(CONFIG, episode.rates, 0.8, 4),
    }
    utilities = {name: run(policy, episode, CONFIG)[0].utility for name, policy in policies.items()}
    assert utilities[FORESIGHT] > max(utilities["nothing"], utilities[REACTIVE], utilities["HPA"])
    assert utilities["driver plan"] > utilities["HPA"]


def test_an_autoscaler_that_is_fed_our_p90_is_late_less_often_and_worth_more_than_one_that_is_not() -> None:
    calendar = Calendar.synthetic(seed=1, day_count=6)
    busy = calendar.episode(calendar.names[-1], 0, peak=240.0)
    fed, plain = (run(each, busy, CONFIG)[0] for each in (FedAutoscaler(CONFIG, PERIODS_PER_DAY), Autoscaler(CONFIG)))
    assert fed.late_periods < plain.late_periods
    assert fed.utility > plain.utility


def test_a_loop_over_the_world_meets_the_same_day_as_a_policy(episode: TrafficDay) -> None:
    seen: list[int] = []

    def watch(world: ClusterWorld, ticks: list[datetime]) -> None:
        seen.extend(len(list(world.observe(tick))) for tick in ticks)

    by_world, _ = run_world(watch, episode, CONFIG)
    by_policy, _ = run(nothing, episode, CONFIG)
    assert by_world == by_policy
    assert (len(seen), seen[0], seen[1]) == (96, 420 + 9 * 6, 6)


def test_a_dimmer_set_to_what_it_is_counts_as_no_action(episode: TrafficDay) -> None:
    result, _ = run(lambda periods, history: [dim(0.9)], episode, CONFIG)
    assert result.actions == 0


def test_the_scale_comes_from_the_day_or_from_its_past() -> None:
    calendar = Calendar.synthetic(seed=2, day_count=6)
    day = calendar.names[-1]
    by_day, by_past = calendar.episode(day, 0, peak=70.0), calendar.episode(day, 0, peak=70.0, scale_from="past")
    assert by_day.rates.max() == pytest.approx(70.0)
    assert by_past.history.max() == pytest.approx(70.0)
    assert len(by_day.history) == 4 * PERIODS_PER_DAY


def test_a_recording_is_read_an_hour_ahead_and_gappy_days_are_left_out(tmp_path: Path) -> None:
    hours = [f"1998-05-{day:02d} {hour:02d}:{minute:02d}:00,{day}" for day in range(1, 3) for hour in range(24)
             for minute in range(60)]  # fmt: skip
    path = tmp_path / "counts.csv.gz"
    path.write_bytes(gzip.compress("\n".join(["minute,count", *hours]).encode()))
    calendar = Calendar.from_recording(path)
    days = calendar._days
    assert list(days) == ["1998-05-01", "1998-05-02"]
    assert days["1998-05-02"].rates[:60] * 4.375 == pytest.approx(np.ones(60))
    assert days["1998-05-02"].rates[60:] * 4.375 == pytest.approx(np.full(1380, 2.0))
    assert calendar.names == []


def test_a_profile_follows_a_level_that_has_doubled() -> None:
    day = 100.0 + 50.0 * np.sin(np.arange(PERIODS_PER_DAY) / PERIODS_PER_DAY * 2 * np.pi)
    rates = np.concatenate((np.tile(day, 4), 2.0 * day[:30]))
    ahead = profile_ahead(rates, PERIODS_PER_DAY, 20, trust=1.0)
    assert ahead == pytest.approx(2.0 * day[30:50], rel=0.05)


def test_profile_paths_spread_by_past_errors() -> None:
    rng = np.random.default_rng(0)
    day = 100.0 + 50.0 * np.sin(np.arange(PERIODS_PER_DAY) / PERIODS_PER_DAY * 2 * np.pi)
    paths = profile_paths(np.tile(day, 5) * np.exp(rng.normal(0, 0.1, 525)), PERIODS_PER_DAY, 24)
    assert paths.shape[1] == 24
    assert 0.05 < np.log(paths[:, 0]).std() < 0.3


def result(utility: float) -> RunResult:
    return RunResult(utility, 0.0, 3.0, 1.0, 0.0)


def test_scores_are_paired_by_day_and_pooled_over_seeds() -> None:
    results = {
        ("a", 0): {REACTIVE: result(0.0), FORESIGHT: result(10.0), "x": result(5.0)},
        ("a", 1): {REACTIVE: result(0.0), FORESIGHT: result(30.0), "x": result(25.0)},
        ("b", 0): {REACTIVE: result(10.0), FORESIGHT: result(20.0), "x": result(10.0)},
    }
    assert day_scores(results, "x") == {"a": 0.75, "b": 0.0}
    [row] = table(results, ["x"])
    assert row.score == pytest.approx(0.375)
    assert row.low <= row.score <= row.high
    assert row.means.utility == pytest.approx(40.0 / 3)


def test_an_autoscaler_that_is_fed_and_gains_less_than_its_bar_is_named() -> None:
    results = {("a", 0): {REACTIVE: result(0.0), FORESIGHT: result(10.0), FED: result(3.9)}}
    assert missed(results) == {FED: pytest.approx(0.39)}
    assert missed({("a", 0): {REACTIVE: result(0.0), FORESIGHT: result(10.0), FED: result(4.0)}}) == {}


def test_a_known_result_is_read_and_not_run_again(
    episode: TrafficDay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measure(episode, CONFIG, tmp_path, ["nothing"])
    monkeypatch.setattr("benchmarks.control.run.ClusterSim", None)
    assert measure(episode, CONFIG, tmp_path, ["nothing"]) == first
    with pytest.raises(TypeError):
        measure(episode, ClusterConfig(max_servers=11), tmp_path, ["nothing"])


def test_every_contender_has_a_policy(episode: TrafficDay) -> None:
    for variants in contenders(episode, CONFIG).values():
        assert callable(variants[0]() if isinstance(variants, list) else variants)
