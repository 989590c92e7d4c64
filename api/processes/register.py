"""Register the work pool, the deployments of `prefect.yaml` and the automations; then ask for the first cycle.

Run as `python -m api.processes.register`. It uses Prefect's client in one process: `prefect deploy` takes 3 s a
deployment, and leaves schedules behind that were removed from the file.
"""

from __future__ import annotations

import asyncio
import importlib
import shlex
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml  # type: ignore[import-untyped]
from prefect import Flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.exceptions import ObjectAlreadyExists
from prefect.utilities.callables import parameter_schema
from prefect.workers.process import ProcessWorker

from api.prefect_client import schedules_of_cycle
from api.processes.automations import ensure_automations
from api.processes.layout import POOL, Layout, current_layout, python
from api.processes.preflight import unread_in
from settings import Settings, settings_in_force

SERVER_TIMEOUT_S = 60.0
POOL_READY = "@pool-ready"
FIRST_CYCLE = "@first-cycle "


def deployments(file: Path, settings: Settings) -> list[dict[str, Any]]:
    """Read the deployments of `prefect.yaml`; the schedule of `cycle` follows the setting."""
    rows: list[dict[str, Any]] = yaml.safe_load(file.read_text())["deployments"]
    for row in rows:
        if row["name"] == "cycle":
            row["schedules"] = schedules_of_cycle(settings)
    return rows


def schedule_of(row: Mapping[str, Any]) -> DeploymentScheduleCreate:
    """Turn a schedule of the file into Prefect's."""
    schedule: IntervalSchedule | CronSchedule
    if "interval" in row:
        anchor = {"anchor_date": row["anchor_date"]} if "anchor_date" in row else {}
        schedule = IntervalSchedule(interval=timedelta(seconds=float(row["interval"])), **anchor)
    else:
        schedule = CronSchedule(cron=row["cron"], timezone=row.get("timezone", "UTC"))
    return DeploymentScheduleCreate(schedule=schedule, active=row.get("active", True), slug=row.get("slug"))


def job_template(layout: Layout) -> dict[str, Any]:
    """Return the pool's template: how a flow run is started on this machine.

    Runs write to a file: into the worker's pipe they would die with it. A command of our own also spares the process
    that Prefect puts in between to resolve a workspace (1.2 s). What is run, where and with which environment is fixed:
    no deployment or flow run may ask for another.
    """
    template = ProcessWorker.get_default_base_job_template()
    run = (*python("-S", "-m", "api.processes.flow_run"), str(layout.engine_socket), *python("-m", "flows.engine"))
    command = f"exec {shlex.join(run)} >> {shlex.quote(str(layout.flow_log))} 2>&1"
    fixed = {
        "command": shlex.join(("/bin/sh", "-c", command)),
        "working_dir": str(layout.folder),
        "env": {},
        "stream_output": False,
    }
    template["job_configuration"] |= fixed
    for name in fixed:
        del template["variables"]["properties"][name]
    return template


async def register(layout: Layout) -> None:
    """Register everything; idempotent."""
    rows = deployments(layout.deployments_file, layout.settings)
    flows = {row["entrypoint"]: _flow(row["entrypoint"]) for row in rows}
    for sentence in unread_in(layout.settings):
        print(sentence, flush=True)  # noqa: T201
    async with get_client() as client:
        await _wait_for(client)
        await _ensure_pool(client, job_template(layout))
        print(POOL_READY, flush=True)  # noqa: T201
        ids = {row["name"]: await _deploy(client, row, flows[row["entrypoint"]]) for row in rows}
        await ensure_automations(client, ids, layout.settings.analysis_interval_s)
        if layout.settings.forecasting.auto_analysis_enabled:
            await client.create_flow_run_from_deployment(ids["cycle"], tags=["first"])
        print(f"{FIRST_CYCLE}{ids['cycle']}", flush=True)  # noqa: T201


def _flow(entrypoint: str) -> Flow[..., Any]:
    module, _, name = entrypoint.rpartition(".")
    flow = getattr(importlib.import_module(module), name)
    assert isinstance(flow, Flow)
    return flow


async def _wait_for(client: PrefectClient) -> None:
    deadline_s = asyncio.get_running_loop().time() + SERVER_TIMEOUT_S
    while (trouble := await client.api_healthcheck()) is not None:
        if asyncio.get_running_loop().time() > deadline_s:
            raise SystemExit(f"The Prefect server at {client.api_url} does not answer: {trouble}")
        await asyncio.sleep(0.1)


async def _ensure_pool(client: PrefectClient, template: dict[str, Any]) -> None:
    try:
        await client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
    except ObjectAlreadyExists:
        await client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template, is_paused=False))


async def _deploy(client: PrefectClient, row: Mapping[str, Any], flow: Flow[..., Any]) -> UUID:
    limit = ConcurrencyLimitConfig.model_validate(row["concurrency_limit"]) if "concurrency_limit" in row else None
    return await client.create_deployment(
        flow_id=await client.create_flow(flow),
        name=row["name"],
        entrypoint=row["entrypoint"],
        work_pool_name=POOL,
        pull_steps=[],
        schedules=[schedule_of(schedule) for schedule in row.get("schedules", [])],
        concurrency_limit=limit.limit if limit else None,
        concurrency_options=ConcurrencyOptions(collision_strategy=limit.collision_strategy) if limit else None,
        description=row.get("description"),
        tags=row.get("tags", []),
        parameters=row.get("parameters", {}),
        parameter_openapi_schema=parameter_schema(flow).model_dump_for_openapi(),
        enforce_parameter_schema=True,
    )


def main() -> None:
    """Register the deployments of the stack that started this process."""
    asyncio.run(register(current_layout(settings_in_force())))


if __name__ == "__main__":
    main()
