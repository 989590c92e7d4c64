"""Runs that claim to be executed by nobody, or that were missed: found, and ended.

A process worker that dies leaves its runs `Running` for ever, and a stack that was away starts every missed run.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import httpx

from api.processes.living import Member
from api.processes.prefect_rest import PrefectRest, Run

MISSED = "Missed while foreact was stopped; a later run replaces it."
GONE = "The process of this run has ended."
CUT_OFF = "foreact, on whose worker this run was to be executed, was stopped."
STOPPED = "foreact was stopped; its next start goes on with what is left to do."


@dataclass(frozen=True)
class ReapPlan:
    """What is to be done: runs to end as crashed or cancelled, processes to end, runs to look at again."""

    crashed: tuple[Run, ...] = ()
    cancelled: tuple[Run, ...] = ()
    stray_pids: tuple[int, ...] = ()
    suspects: frozenset[str] = frozenset()


def judge(runs: Iterable[Run], living: Iterable[Member], worker_pid: int | None, suspects: Collection[str]) -> ReapPlan:
    """Compare what Prefect believes with the processes that there are.

    A run without a process is ended at the second look: at the first its process may be about to start. A cancelled
    run whose worker died is executed by a process that nobody would end.
    """
    processes = {member.flow_run_id: member for member in living if member.flow_run_id}
    lost = [run for run in runs if run.id not in processes]
    sure = [run for run in lost if run.id in suspects]
    stray = [
        processes[run.id].pid
        for run in runs
        if run.state == "CANCELLING" and run.id in processes and processes[run.id].parent_pid != worker_pid
    ]
    return ReapPlan(
        crashed=tuple(run for run in sure if run.state != "CANCELLING"),
        cancelled=tuple(run for run in sure if run.state == "CANCELLING"),
        stray_pids=tuple(stray),
        suspects=frozenset(run.id for run in lost) - {run.id for run in sure},
    )


def superseded(missed: Sequence[Run], restarted: Collection[str] = ()) -> list[Run]:
    """Return all missed runs but the newest of each deployment; of `restarted` deployments all of them."""
    seen = set(restarted)
    old: list[Run] = []
    for run in sorted(missed, key=lambda run: run.due_at.timestamp() if run.due_at else 0.0, reverse=True):
        if run.deployment_id in seen:
            old.append(run)
        seen.add(run.deployment_id)
    return old


async def reap(
    prefect: PrefectRest, living: Iterable[Member], worker_pid: int | None, suspects: Collection[str]
) -> ReapPlan:
    """Judge all runs of our pool and carry the verdict out; a server that is away changes nothing."""
    verdict = ReapPlan(suspects=frozenset(suspects))
    with contextlib.suppress(httpx.HTTPError):
        runs = await prefect.unfinished()
        verdict = judge(runs, living, worker_pid, suspects) if runs else ReapPlan()
        for pid in verdict.stray_pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        await prefect.end(verdict.crashed, "crashed", GONE)
        await prefect.end(verdict.cancelled, "cancelled", GONE)
    return verdict


async def reap_all(prefect: PrefectRest, now: datetime) -> tuple[int, int]:
    """End whatever an earlier life left unfinished, and the missed runs; return how many of each."""
    left = await prefect.unfinished()
    await prefect.end([run for run in left if run.state != "CANCELLING"], "crashed", GONE)
    await prefect.end([run for run in left if run.state == "CANCELLING"], "cancelled", GONE)
    return len(left), await end_missed(prefect, now)


async def end_missed(prefect: PrefectRest, now: datetime) -> int:
    """End all missed runs but the newest, which a worker would start one after the other; return how many.

    Where a later run does the same nothing failed and nobody cancelled anything: they count as completed, under a name
    that tells.
    """
    old = superseded(await prefect.missed(now))
    await _end_by_whose(prefect, old, MISSED, "Missed")
    return len(old)


async def end_left(prefect: PrefectRest, left: Sequence[Run]) -> None:
    """End what still runs as foreact stops: cancelled where that was asked for, or else completed as `Stopped`."""
    await prefect.end([run for run in left if run.state == "CANCELLING"], "cancelled", STOPPED)
    await _end_by_whose(prefect, [run for run in left if run.state != "CANCELLING"], STOPPED, "Stopped")


async def _end_by_whose(prefect: PrefectRest, runs: Sequence[Run], message: str, name: str) -> None:
    """End runs whose work a later one does as completed; those that nothing makes up for as cancelled."""
    await prefect.end([run for run in runs if run.is_made_up_for], "completed", message, name)
    await prefect.end([run for run in runs if not run.is_made_up_for], "cancelled", CUT_OFF)
