"""A fleet cut into shards is forecast to the same last digit, wherever the shards are run."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import quote

from flows.sharding import runner_of, through_runner
from settings import ForecasterSettings
from storage import Store, open_store
from storage.errors import ForeactError
from tasks.forecast.batch import ForecastBatch
from tasks.forecast.fleet.fit import fit_fleet
from tasks.forecast.fleet.shards import RunShards, forecast_sharded
from tests.tasks.forecast.fleets import daily_fleet

SERIES = 11
VALUES = daily_fleet(SERIES)
STATE = fit_fleet(VALUES, season_lengths=(24, 168), horizon=24)
CHANGED_AT = np.where(np.arange(SERIES) % 4 == 0, 200, -1)


def same(one: ForecastBatch, other: ForecastBatch) -> bool:
    arrays = ("point", "quantiles", "centre", "scale", "scaled_paths")
    equal = all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in arrays)
    return equal and (one.method, one.warnings, one.refusals) == (other.method, other.warnings, other.refusals)


def whole() -> ForecastBatch:
    return forecast_sharded(VALUES, STATE, CHANGED_AT)


@pytest.mark.parametrize("count", [2, 3, 10, 11, 50])
def test_any_number_of_shards_gives_the_same_forecast(count: int) -> None:
    assert same(whole(), forecast_sharded(VALUES, STATE, CHANGED_AT, count=count))


def test_outside_of_a_flow_shards_are_forecast_here() -> None:
    run = through_runner(ForecasterSettings(shards=3, task_runner="processes"))
    assert same(whole(), forecast_sharded(VALUES, STATE, CHANGED_AT, count=3, run=run))


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

    with prefect_test_harness(server_startup_timeout=60):
        yield


@task(cache_policy=NO_CACHE)
def stage(store: Store, run: RunShards) -> ForecastBatch:
    """As in the loop: a task whose arguments cannot leave this process."""
    assert store.samples.known() == []
    return forecast_sharded(VALUES, STATE, CHANGED_AT, count=3, run=run)


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
