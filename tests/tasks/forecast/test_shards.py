"""A fleet cut into shards is forecast to the same last digit, wherever the shards are run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import quote

from benchmarks.cycle import START, STEP, Bench
from flows import sharding
from flows.cycle import AsTasks, turn
from flows.sharding import runner_of, through_runner
from flows.wiring import live_context
from settings import ForecasterSettings
from storage import Store, open_store
from storage.errors import ForeactError
from storage.records import Frame
from tasks.forecast import shards
from tasks.forecast.batch import ForecastBatch
from tasks.forecast.fleet.forecast import fit_fleet
from tasks.forecast.method_per_series import MethodPerSeries
from tasks.forecast.shards import FleetQuestion, RunShards, forecast_sharded
from tests import IS_THOROUGH, forget_clients
from tests.tasks.forecast.fleets import daily_fleet

SERIES = 12
VALUES = daily_fleet(SERIES)
VALUES[-1] = np.concatenate([np.arange(1.0 + length) for length in 8 * (9, 14, 11, 17, 8, 12)])[: VALUES.shape[1]]
"""The last one shows for how long something has been running."""
QUESTION = FleetQuestion(
    frame=Frame(series=tuple(f"m{row}" for row in range(SERIES)), values=VALUES, end=START, step_s=3_600.0),
    history=VALUES,
    rows=np.arange(SERIES),
    serving=MethodPerSeries(per_metric={"m4": "seasonal-naive"}),
    horizon=24,
    seed=3,
    state=fit_fleet(VALUES, season_lengths=(24, 168), horizon=24),
    zone=UTC,
    changed_at=np.where(np.arange(SERIES) % 4 == 0, 200, -1),
)


def same(one: ForecastBatch, other: ForecastBatch) -> bool:
    arrays = ("point", "quantiles", "centre", "scale", "scaled_paths")
    equal = all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in arrays)
    return equal and (one.method, one.warnings, one.refusals) == (other.method, other.warnings, other.refusals)


@cache
def whole() -> ForecastBatch:
    return forecast_sharded(QUESTION)


def test_of_a_fleet_larger_than_a_block_paths_are_kept_of_what_is_watched_and_made_again_of_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shards, "BLOCK_SERIES", 5)
    watched = np.arange(SERIES) % 5 == 2
    for count in (1, 3):
        batch = forecast_sharded(QUESTION, watched, count=count)
        assert len(batch.scaled_paths) == watched.sum() + 1  # and of the one that another method serves
        assert same(replace(batch, scaled_paths=whole().scaled_paths), whole())
        for row in range(SERIES):
            np.testing.assert_array_equal(batch.paths_of(row), whole().paths_of(row))
        rows = np.flatnonzero(watched)
        bound = np.median(VALUES[rows], axis=1)
        first, expected = (each.first_crossing(bound, None, 9, rows) for each in (batch, whole()))
        np.testing.assert_array_equal(first, expected)
        chance, expected = (each.probability(first, bound, None, 9, rows) for each in (batch, whole()))
        np.testing.assert_array_equal(chance, expected)
    assert whole().method[-1] == "running time"


@pytest.mark.parametrize("count", [2, 3, 11, 12, 50])
def test_any_number_of_shards_gives_the_same_forecast(count: int) -> None:
    assert same(whole(), forecast_sharded(QUESTION, count=count))


def test_a_shard_of_neighbours_needs_no_history_of_its_own() -> None:
    neighbours, others = QUESTION.take(np.arange(3, 9)), QUESTION.take(np.array([1, 3, 7]))
    assert np.shares_memory(neighbours.history, VALUES)
    np.testing.assert_array_equal(neighbours.history, VALUES[3:9])
    np.testing.assert_array_equal(others.history, VALUES[[1, 3, 7]])
    assert len(QUESTION.take(np.arange(0)).history) == 0


def test_outside_of_a_flow_shards_are_forecast_here() -> None:
    run = through_runner(ForecasterSettings(shards=3, task_runner="processes"))
    assert same(whole(), forecast_sharded(QUESTION, count=3, run=run))


@pytest.mark.parametrize(("name", "package"), [("dask", "prefect_dask"), ("ray", "prefect_ray")])
def test_a_task_runner_that_is_not_installed_is_refused_by_the_name_of_its_extra(name: str, package: str) -> None:
    if find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    with pytest.raises(ForeactError) as refusal:
        runner_of(ForecasterSettings.model_validate({"shards": 2, "task_runner": name}))
    assert refusal.value.code == "extra_missing"
    assert f"foreact[{name}]" in refusal.value.remedy


@pytest.fixture(scope="module")
def prefect_server() -> Iterator[None]:
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield
    forget_clients()


@task(cache_policy=NO_CACHE)
def stage(store: Store, run: RunShards) -> ForecastBatch:
    """As in the loop: a task whose arguments cannot leave this process."""
    assert store.samples.known() == []
    return forecast_sharded(QUESTION, count=3, run=run)


@flow(name="shards")
def sharded(task_runner: str) -> ForecastBatch:
    options = ForecasterSettings.model_validate({"shards": 3, "task_runner": task_runner})
    with open_store() as store:
        return stage(quote(store), through_runner(options))


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "task_runner",
    [
        "in-process",
        "threads",
        "processes",
        pytest.param("dask", marks=pytest.mark.skipif(find_spec("prefect_dask") is None, reason="an optional extra")),
        pytest.param("ray", marks=pytest.mark.skipif(find_spec("prefect_ray") is None, reason="an optional extra")),
    ],
)
def test_every_task_runner_gives_the_same_forecast_to_the_last_digit(task_runner: str) -> None:
    assert same(whole(), sharded(task_runner))


WRITTEN = ("forecasts", "breaches", "states", "patterns", "goals", "decisions", "plans", "actions", "receipts")


@flow(name="whole cycle")
def one_cycle(task_runner: str) -> dict[str, list[Any]]:
    """Run one cycle over two hundred series, which make two shards; return what it wrote.

    All of it is made in here: what a flow closes over goes with it to other processes, and a store cannot.
    """
    with open_store(clock=lambda: START) as store:
        bench = Bench(store, 200)
        bench.fill()
        forecasting = bench.settings.forecasting
        forecaster = forecasting.forecaster.model_copy(update={"shards": 2, "task_runner": task_runner})
        forecasting = forecasting.model_copy(update={"forecaster": forecaster})
        settings = bench.settings.model_copy(update={"forecasting": forecasting})
        bench.clock.now = START + STEP * bench.fleet.step
        world = {"actions": bench.actions, "world": bench.world, "now": bench.clock}
        context = live_context(settings, store, bench.clock.now, "simulation", **world)
        store.cycles.begin(context.cycle)
        turn(AsTasks(), context)
        return {table: store.engine.rows(f"SELECT * FROM {table} ORDER BY ALL") for table in WRITTEN}


@cache
def whole_cycle(task_runner: str) -> dict[str, list[Any]]:
    return one_cycle(task_runner)


@pytest.fixture
def two_workers() -> Iterator[None]:
    """Run a Dask cluster of two processes, to which runs go."""
    dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        dask.config.set({"scheduler-address": cluster.scheduler_address}),
    ):
        yield


def assert_cycle_is_the_same(task_runner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cycle whose shards are run by a task runner writes what one without does."""
    plain, sent, submit = whole_cycle("in-process"), list[int](), sharding.submitted
    monkeypatch.setattr(sharding, "submitted", lambda shards: (sent.append(len(shards)), submit(shards))[1])
    found = whole_cycle(task_runner)
    assert sent == [2]
    for table in WRITTEN:
        assert found[table] == plain[table], table
    assert len(found["forecasts"]) == 200
    assert found["goals"]


@pytest.mark.skipif(not IS_THOROUGH, reason="it starts a Prefect server and processes: `make thorough`")
@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.filterwarnings("default")
def test_a_whole_cycle_through_processes_writes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_cycle_is_the_same("processes", monkeypatch)


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server", "two_workers")
@pytest.mark.filterwarnings("default")
@pytest.mark.skipif(find_spec("prefect_dask") is None, reason="prefect-dask is in no lock file")
def test_a_whole_cycle_on_a_dask_cluster_of_two_workers_writes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_cycle_is_the_same("dask", monkeypatch)
