"""Shards of a large fleet through a Prefect task runner: threads, processes, Dask or Ray by one setting."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import copy_context
from multiprocessing import cpu_count
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from settings import ForecasterSettings
from storage import ForeactError
from tasks.forecast.batch import ForecastBatch
from tasks.forecast.shards import RunShards, Shard, in_process

SHARD_TIMEOUT_S = 240
MOST_WORKERS = max(1, cpu_count())


@task(name="forecast shard", cache_policy=NO_CACHE, persist_result=False, timeout_seconds=SHARD_TIMEOUT_S)
def forecast_shard(shard: Shard) -> ForecastBatch:
    """Forecast some series of a fleet, wherever the task runner puts it."""
    return shard.forecast()


def submitted(shards: Sequence[Shard]) -> list[ForecastBatch]:
    """Hand shards to the task runner of the flow run and wait for all of them, in order."""
    futures = [forecast_shard.submit(shard) for shard in shards]
    return [future.result() for future in futures]


def through_runner(options: ForecasterSettings) -> RunShards:
    """Return how shards are run inside a flow run: by the task runner that the configuration names.

    Outside of a flow run there is no task runner, and shards are forecast here, with the same result.
    """

    # Called before the stage begins: what runs elsewhere must not take the stage's own context along, nor its store.
    before = copy_context()

    def run(shards: Sequence[Shard]) -> Sequence[ForecastBatch]:
        return before.run(_run_by, options, shards)

    return run


def _run_by(options: ForecasterSettings, shards: Sequence[Shard]) -> Sequence[ForecastBatch]:
    run_context = FlowRunContext.get()
    if run_context is None or options.task_runner == "in-process" or len(shards) == 1:
        return in_process(shards)
    with runner_of(options) as runner, run_context.model_copy(update={"task_runner": runner}):
        return submitted(shards)


def runner_of(options: ForecasterSettings) -> TaskRunner[Any]:
    """Return the task runner that the configuration names; raises `extra_missing`."""
    if options.task_runner == "threads":
        return ThreadPoolTaskRunner(max_workers=min(options.shards, MOST_WORKERS))
    if options.task_runner == "processes":
        return ProcessPoolTaskRunner(max_workers=min(options.shards, MOST_WORKERS))
    try:
        if options.task_runner == "dask":
            from dask import config
            from prefect_dask import DaskTaskRunner

            # As everywhere in Dask: the cluster of DASK_SCHEDULER_ADDRESS, or one of its own on this machine.
            dask: TaskRunner[Any] = DaskTaskRunner(address=config.get("scheduler-address", None))
            return dask
        from prefect_ray import RayTaskRunner

        ray: TaskRunner[Any] = RayTaskRunner()
    except ImportError as missing:
        name = options.task_runner
        raise ForeactError(
            "extra_missing",
            f"The task runner {name!r} is not installed: {missing}.",
            f"Install the extra {name!r} (pip install 'foreact[{name}]'), or choose \"processes\".",
        ) from missing
    return ray
