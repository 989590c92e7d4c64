"""Histories of runs as a real Prefect server had them: recorded, kept as CSV, and read again to be judged.

    python -m benchmarks.deadlines_recording URL FILE     # keep what a server (its API's address) knows of its runs
    python -m benchmarks.deadlines_recording FILE         # run a busy pool here for a while, and keep that

What is run here is a server, a work pool of two slots, its scheduler and a Prefect worker that is as eager as its
settings allow; six deployments of seconds (a long tail, one that waits for it, two humps, growth, a wave, steady; one
run in fifty fails) ask for about four fifths of the slots. Its runs sleep, but for some sorting.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from handlers.sources.prefect_runs import prefect_runs
from storage.records import Event, Sample
from tasks.objectives.run_history import DeploymentRun, RunHistory, run_history

OURS = Path(__file__).with_name("deadlines_recorded.csv")
POOL, SLOTS = "recorded", 2
SLOTS_OF = "prefect_pool_slots{"
COLUMNS = ("deployment", "state", "due_s", "start_s", "end_s", "work_pool", "work_queue", "priority", "slots")


@dataclass(frozen=True)
class Repeated:
    """A deployment: how often it is due, how far into its turn, and how long a run takes; in seconds."""

    every_s: int
    at_s: int
    length_s: Callable[[float, random.Random], float]
    upstream: str | None = None


def spread(log: float, by: float, rng: random.Random) -> float:
    """Draw a length whose log spreads."""
    return math.exp(math.log(log) + rng.gauss(0, by))


DEPLOYMENTS: Mapping[str, Repeated] = {
    "extract/nightly": Repeated(144, 10, lambda _, rng: spread(17, 0.15, rng) * (2.5 if rng.random() < 0.1 else 1)),
    "load/nightly": Repeated(144, 18, lambda _, rng: spread(8, 0.1, rng), upstream="extract/nightly"),
    "sync/hourly": Repeated(20, 0, lambda _, rng: spread(5.5, 0.1, rng)),
    "report/often": Repeated(40, 5, lambda _, rng: spread(8, 0.12, rng) * (2 if rng.random() < 0.25 else 1)),
    "index/growing": Repeated(60, 25, lambda passed, rng: spread(7, 0.12, rng) * math.exp(0.6 * passed)),
    "backup/daily": Repeated(144, 70, lambda passed, rng: spread(22, 0.08, rng) * (1 + 0.3 * math.sin(20 * passed))),
}


def from_server(url: str) -> RunHistory:
    """Return the runs that a Prefect server knows of, read as the loop reads them."""
    told = [*prefect_runs.pull({"api_url": url, "lookback_days": 400.0}, None, datetime.now(UTC))]
    now = {each.series: each.value for each in told if isinstance(each, Sample) and each.series.startswith(SLOTS_OF)}
    return run_history((each for each in told if isinstance(each, Event)), now)


def from_file(path: Path) -> RunHistory:
    """Return the runs that were kept in a file."""
    with path.open(newline="") as file:
        rows = [*csv.DictReader(file)]
    runs = tuple(
        DeploymentRun(
            run_id=str(number),
            name=f"{row['deployment']}-{number}",
            deployment=row["deployment"],
            state=row["state"],  # type: ignore[arg-type]
            due_s=float(row["due_s"]),
            start_s=float(row["start_s"]) if row["start_s"] else None,
            end_s=float(row["end_s"]),
            work_pool=row["work_pool"],
            work_queue=row["work_queue"],
            priority=int(row["priority"]),
        )
        for number, row in enumerate(rows)
    )
    return RunHistory(runs, {row["work_pool"]: float(row["slots"]) for row in rows if row["slots"]})


def ended_of(history: RunHistory) -> list[DeploymentRun]:
    """Return the runs that ended, those due first first."""
    return sorted((run for run in history.runs if run.end_s is not None), key=lambda run: (run.due_s, run.run_id))


def keep(history: RunHistory, path: Path) -> int:
    """Write the runs that ended to a file, those due first first; return how many."""
    ended = ended_of(history)
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for run in ended:
            times = ["" if at_s is None else f"{at_s:.2f}" for at_s in (run.due_s, run.start_s, run.end_s)]
            slots = history.slots.get(run.work_pool, "")
            rows.writerow([run.deployment, run.state, *times, run.work_pool, run.work_queue, run.priority, slots])
    return len(ended)


async def run_pool(url: str, minutes: float, seed: int) -> None:
    """Make the pool on a Prefect server and have its runs executed for some minutes."""
    from prefect import flow
    from prefect.flow_engine import run_flow_async
    from prefect.workers.base import BaseJobConfiguration, BaseWorker, BaseWorkerResult

    rng, began_s = random.Random(seed), time.monotonic()
    names = {deployment_id: name for name, deployment_id in (await _deploy(url)).items()}
    is_done = {name: asyncio.Event() for name in DEPLOYMENTS}
    for each in is_done.values():
        each.set()

    async def work(name: str) -> None:
        """Take as long as a run of the deployment does."""
        one = DEPLOYMENTS[name]
        length_s = one.length_s((time.monotonic() - began_s) / (60 * minutes), rng)
        is_done[name].clear()
        if one.upstream:
            await is_done[one.upstream].wait()
        until_s = time.monotonic() + length_s
        while time.monotonic() < until_s:
            sorted(random.Random(seed).random() for _ in range(2_000))
            await asyncio.sleep(min(0.5, max(0.0, until_s - time.monotonic())))
        is_done[name].set()
        if rng.random() < 0.02:
            raise RuntimeError("one in fifty")

    class InThisProcess(BaseWorker[BaseJobConfiguration, Any, BaseWorkerResult]):
        """A worker that executes runs where it runs itself: a process a run would cost more than the runs."""

        type = "in-this-process"

        async def run(self, flow_run: Any, configuration: Any, task_status: Any = None) -> BaseWorkerResult:
            if task_status is not None:
                task_status.started(str(flow_run.id))
            name = names[str(flow_run.deployment_id)]
            await run_flow_async(flow(name=name.partition("/")[0])(work), flow_run, {"name": name}, return_type="state")
            return BaseWorkerResult(status_code=0, identifier=str(flow_run.id))

    async with InThisProcess(work_pool_name=POOL, prefetch_seconds=0) as worker:
        while time.monotonic() - began_s < 60 * minutes:
            await worker.sync_with_backend()
            await worker.get_and_submit_flow_runs()
            await asyncio.sleep(0.5)


async def _deploy(url: str) -> dict[str, str]:
    """Return the ids of the deployments, made by the API, each due at every full interval."""
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:

        async def made(path: str, body: Mapping[str, Any]) -> str:
            return str((await client.post(path, json=body)).raise_for_status().json()["id"])

        await made("/work_pools/", {"name": POOL, "type": "in-this-process", "concurrency_limit": SLOTS})
        ids, first_s = {}, math.ceil(time.time() / 720) * 720 - 1_440
        for name, each in DEPLOYMENTS.items():
            anchor = datetime.fromtimestamp(first_s + each.at_s, UTC).isoformat()
            flow_name, _, own = name.partition("/")
            body = {
                "name": own,
                "flow_id": await made("/flows/", {"name": flow_name}),
                "work_pool_name": POOL,
                "schedules": [{"schedule": {"interval": each.every_s, "anchor_date": anchor}, "active": True}],
                "parameters": {"name": name},
                "enforce_parameter_schema": False,
            }
            ids[name] = await made("/deployments/", body)
        return ids


def record(minutes: float, seed: int) -> RunHistory:
    """Run the pool on a Prefect server of its own, and return what that server knows afterwards."""
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_LOGGING_LEVEL,
        PREFECT_LOGGING_TO_API_ENABLED,
        temporary_settings,
    )

    from benchmarks.deadline_levers import prefect_server

    # Where there is a folder in memory: of a busy disk the server's database would have us wait, or refuse.
    home = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=home) as folder, prefect_server(Path(folder)) as url:
        with temporary_settings(
            {PREFECT_API_URL: url, PREFECT_LOGGING_LEVEL: "ERROR", PREFECT_LOGGING_TO_API_ENABLED: False}
        ):
            asyncio.run(run_pool(url, minutes, seed))
        return from_server(url)


def main() -> int:
    """Keep what a server knows, or run a pool and keep that; print how much it was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="the address of a Prefect API; without it a pool is run here")
    parser.add_argument("file", type=Path, help="where to keep the runs")
    parser.add_argument("--minutes", type=float, default=38.0, help="how long to run it")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    history = from_server(options.url) if options.url else record(options.minutes, options.seed)
    print(f"{keep(history, options.file)} runs kept in {options.file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
