"""What the deployments of a Prefect server do: how long their runs take, wait and queue, as metrics and as events."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from handlers.contract.source import source
from handlers.contract.source_options import NO_TEXTS, headers_in, option
from handlers.support.clocks import MOST_SKEW_S, told_skew
from handlers.support.prefect_reader import OTHERWISE, PrefectReader
from storage.errors import ForeactError
from storage.records import RUN_AGE, Event, Sample

STEP_S = 60
LONGEST_FILL_S = 86_400
OVERLAP_S = 600
"""A state that a worker reports late lies before what was read already; the same event twice is one event."""

MOST_DAYS = 3_650.0

OWN_TAG = "foreact"
OPEN_TYPES = ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING"]
ENDED_AS = {
    "COMPLETED": "prefect_run_completed",
    "FAILED": "prefect_run_failed",
    "CRASHED": "prefect_run_failed",
    "CANCELLED": "prefect_run_cancelled",
}
REMEDY = "See [sources.prefect_runs] in docs/configuration.md."


@dataclass(frozen=True)
class _Deployment:
    """A deployment as it is named here, flow/name, and how many of its runs may run at a time."""

    name: str
    work_pool: str
    limit: float | None


@dataclass(frozen=True)
class _Run:
    """One run; times in unix seconds, None where it has not come so far."""

    run_id: str
    name: str
    deployment: str
    work_pool: str
    work_queue: str
    priority: int
    state: str
    state_name: str
    state_s: float
    due_s: float
    next_s: float
    start_s: float | None
    end_s: float | None
    retries: int

    @property
    def left_queue_s(self) -> float:
        """Return when it waited no more, infinity while it does."""
        return min(self.start_s or math.inf, self.end_s or math.inf)


@dataclass(frozen=True)
class _Seen:
    """All that the server said; slots are by work pool, queues by (pool, name), limits by name."""

    deployments: tuple[_Deployment, ...]
    runs: tuple[_Run, ...]
    slots: Mapping[str, float]
    queues: tuple[tuple[str, str], ...]
    limits: Mapping[str, tuple[float, float]]


@source(
    name="prefect_runs",
    interval_s=60.0,
    options={
        "api_url": "address of the Prefect API; the server that foreact runs on",
        "headers": "headers to send along, such as Authorization",
        "include": "glob patterns of the deployments to read, as in etl/*; all but foreact's own",
        "exclude": "glob patterns of deployments to leave out; none",
        "lookback_days": "days of ended runs to read at the first pull; 60",
        "lookahead_s": "seconds before a run is due from which on it is known; 86400",
        "timeout_s": "seconds to wait for an answer; 10",
    },
)
def prefect_runs(options: Mapping[str, Any], since: datetime | None, until: datetime) -> Iterable[Sample | Event]:
    """Read the runs of a Prefect server's deployments after `since`: what they did, and how many ran and waited.

    What ran and waited is told for every full minute, from when runs were due, started and ended, for a day at most.
    Raises TransientError where the server cannot be reached or is overloaded and ForeactError where an option or the
    login is wrong, or the server's clock is not ours.
    The API: https://docs.prefect.io/v3/api-ref/rest-api
    """
    back_s = 86_400 * min(option(options, "lookback_days", 60.0), MOST_DAYS)
    ahead_s = option(options, "lookahead_s", 86_400.0)
    from_s = until.timestamp() - back_s if since is None else since.timestamp()
    with PrefectReader(_api_url(options), headers_in(options), option(options, "timeout_s", 10.0)) as server:
        try:
            seen = _read(server, options, from_s - OVERLAP_S, until, ahead_s)
            _refuse_skew(server)
            return [*_events(seen, from_s - OVERLAP_S, until, ahead_s), *_samples(seen, from_s, until, ahead_s)]
        except OTHERWISE as trouble:
            message = f"The Prefect server at {server.api_url} answers otherwise than expected: {trouble!r:.200}."
            raise ForeactError(
                "prefect_schema", message, "It may be too old or too new; 3.0 to 3.8 are known."
            ) from trouble


def _api_url(options: Mapping[str, Any]) -> str:
    url = option(options, "api_url", "")
    if not url.startswith(("http://", "https://")):
        raise ForeactError("prefect_url", f"api_url = {url!r} is not the HTTP address of a Prefect API.", REMEDY)
    return url


def _refuse_skew(server: PrefectReader) -> None:
    if abs(server.skew_s) > MOST_SKEW_S:
        message = (
            f"The clock of the Prefect server at {server.api_url} is {told_skew(server.skew_s)} ours, "
            "so nothing it says can be put in time."
        )
        raise ForeactError("prefect_clock", message, "Set both clocks, by NTP for example.")


def _read(server: PrefectReader, options: Mapping[str, Any], from_s: float, until: datetime, ahead_s: float) -> _Seen:
    flows = {row["id"]: row["name"] for row in server.all_of("flows/filter")}
    deployments = {
        row["id"]: _deployment(row, flows)
        for row in server.all_of("deployments/filter")
        if _is_wanted(row, f"{flows.get(row['flow_id'])}/{row['name']}", options)
    }
    pools = list(server.all_of("work_pools/filter"))
    queues = {
        (pool["name"], row["name"]): int(row["priority"] or 1)
        for pool in pools
        for row in server.all_of(f"work_pools/{pool['name']}/queues/filter")
    }
    ended = {"flow_runs": {"end_time": {"after_": _iso(from_s)}}, "sort": "END_TIME_DESC"}
    due = {
        "expected_start_time": {"before_": _iso(until.timestamp() + ahead_s)},
        "state": {"type": {"any_": OPEN_TYPES}},
    }
    rows = [
        *server.all_of("flow_runs/filter", {"flow_runs": due, "sort": "EXPECTED_START_TIME_ASC"}),
        *server.all_of("flow_runs/filter", ended),
    ]
    # One that ended between the two questions is in both answers; the later one counts.
    runs = {row["id"]: _run(row, deployments, queues) for row in rows if row.get("deployment_id") in deployments}
    return _Seen(
        deployments=tuple(deployments.values()),
        runs=tuple(runs.values()),
        slots={pool["name"]: float(limit) for pool in pools if (limit := pool.get("concurrency_limit")) is not None},
        queues=tuple(queues),
        limits={
            row["name"]: (float(row["active_slots"]), float(row["limit"]))
            for row in server.all_of("v2/concurrency_limits/filter")
            if row.get("active", True) and row["limit"] and not str(row["name"]).startswith("deployment:")
        },
    )


def _is_wanted(row: Mapping[str, Any], name: str, options: Mapping[str, Any]) -> bool:
    include, exclude = option(options, "include", NO_TEXTS), option(options, "exclude", NO_TEXTS)
    if any(fnmatchcase(name, pattern) for pattern in exclude):
        return False
    if include:
        return any(fnmatchcase(name, pattern) for pattern in include)
    return OWN_TAG not in (row.get("tags") or ())


def _deployment(row: Mapping[str, Any], flows: Mapping[str, str]) -> _Deployment:
    limit = (row.get("global_concurrency_limit") or {}).get("limit", row.get("concurrency_limit"))
    name = f"{flows.get(row['flow_id'])}/{row['name']}"
    return _Deployment(name, row.get("work_pool_name") or "", None if limit is None else float(limit))


def _run(row: Mapping[str, Any], deployments: Mapping[str, _Deployment], queues: Mapping[tuple[str, str], int]) -> _Run:
    pool, queue = row.get("work_pool_name") or "", row.get("work_queue_name") or ""
    state = row["state"]
    due_s = _unix(row["expected_start_time"]) or _unix(row["created"]) or 0.0
    end_s = _unix(row["end_time"])
    return _Run(
        run_id=row["id"],
        name=row["name"],
        deployment=deployments[row["deployment_id"]].name,
        work_pool=pool,
        work_queue=queue,
        priority=queues.get((pool, queue), 1),
        state=state["type"],
        state_name=state["name"],
        state_s=_unix(state["timestamp"]) or 0.0,
        due_s=due_s,
        next_s=_unix(row["next_scheduled_start_time"]) or due_s,
        start_s=_unix(row["start_time"]),
        end_s=end_s,
        retries=max(0, int(row.get("run_count") or 0) - 1),
    )


def _events(seen: _Seen, from_s: float, until: datetime, ahead_s: float) -> Iterator[Event]:
    """Yield an event for each step of each run: scheduled, late, started, completed, failed, cancelled."""
    for run in seen.runs:
        for kind, at_s, more in _steps(run, ahead_s):
            # Those that are open are told anew however long ago that was: at the first pull it is news.
            if from_s < at_s <= until.timestamp():
                yield Event(
                    event_type=kind,
                    ts=_moment(at_s),
                    labels={"deployment": run.deployment},
                    metadata={
                        "run_id": run.run_id,
                        "run": run.name,
                        "due": _iso(run.due_s),
                        "work_pool": run.work_pool,
                        "work_queue": run.work_queue,
                        **more,
                    },
                )


def _steps(run: _Run, ahead_s: float) -> Iterator[tuple[str, float, dict[str, Any]]]:
    if run.start_s is not None:
        yield "prefect_run_started", run.start_s, {"start": _iso(run.start_s)}
    if run.end_s is not None:
        times = {"start": None if run.start_s is None else _iso(run.start_s), "end": _iso(run.end_s)}
        yield ENDED_AS[run.state], run.end_s, {**times, "state": run.state_name, "retries": run.retries}
    elif run.start_s is None:
        # A run is scheduled days ahead; it is told of when it comes into view.
        kind = "prefect_run_late" if run.state_name == "Late" else "prefect_run_scheduled"
        at_s = max(run.state_s, run.next_s - ahead_s)
        yield kind, at_s, {"priority": run.priority, "state": run.state_name}


def _samples(seen: _Seen, from_s: float, until: datetime, ahead_s: float) -> Iterator[Sample]:
    until_s = until.timestamp()
    for run in seen.runs:
        yield from _of_run(run, from_s, until_s)
    first_s = (math.floor(max(from_s, until_s - LONGEST_FILL_S) / STEP_S) + 1) * STEP_S
    grid = [*(float(at_s) for at_s in range(int(first_s), math.ceil(until_s), STEP_S)), until_s]
    for deployment in seen.deployments:
        own = [run for run in seen.runs if run.deployment == deployment.name]
        labels = {"deployment": deployment.name}
        running = _running(own, grid)
        yield from _row(RUN_AGE, labels, "s", grid, _oldest(own, grid))
        yield from _row("prefect_running_runs", labels, "runs", grid, running)
        yield from _row("prefect_waiting_runs", labels, "runs", grid, _waiting(own, grid))
        yield from _use("prefect_deployment", labels, deployment.limit, grid, running)
        scheduled = sum(run.left_queue_s == math.inf and until_s < run.next_s <= until_s + ahead_s for run in own)
        yield Sample(metric="prefect_scheduled_runs", value=scheduled, ts=until, labels=labels, unit="runs")
    for pool in sorted({pool for pool, _ in seen.queues}):
        running = _running([run for run in seen.runs if run.work_pool == pool], grid)
        yield from _row("prefect_pool_running_runs", {"work_pool": pool}, "runs", grid, running)
        yield from _use("prefect_pool", {"work_pool": pool}, seen.slots.get(pool), grid, running)
    for pool, queue in seen.queues:
        own = [run for run in seen.runs if (run.work_pool, run.work_queue) == (pool, queue)]
        labels = {"work_pool": pool, "work_queue": queue}
        yield from _row("prefect_queue_depth", labels, "runs", grid, _waiting(own, grid))
    for name, (active, limit) in seen.limits.items():
        yield Sample(
            metric="prefect_limit_used_ratio", value=active / limit, ts=until, labels={"limit": name}, unit="ratio"
        )


def _of_run(run: _Run, from_s: float, until_s: float) -> Iterator[Sample]:
    labels = {"deployment": run.deployment}
    if run.start_s is not None and from_s < run.start_s <= until_s:
        delay_s = max(0.0, run.start_s - run.due_s)
        yield Sample(
            metric="prefect_start_delay_seconds", value=delay_s, ts=_moment(run.start_s), labels=labels, unit="s"
        )
    if run.end_s is not None and from_s < run.end_s <= until_s:
        ts, has_failed = _moment(run.end_s), ENDED_AS[run.state] == "prefect_run_failed"
        if run.start_s is not None:
            length_s = run.end_s - run.start_s
            yield Sample(metric="prefect_run_duration_seconds", value=length_s, ts=ts, labels=labels, unit="s")
        yield Sample(metric="prefect_run_failed", value=float(has_failed), ts=ts, labels=labels, unit="runs")
        yield Sample(metric="prefect_run_retries", value=run.retries, ts=ts, labels=labels, unit="retries")


def _use(
    prefix: str, labels: Mapping[str, str], limit: float | None, grid: Sequence[float], running: Sequence[float]
) -> Iterator[Sample]:
    """Yield the limit of what may run at a time, as it is now, and how much of it was used."""
    if limit is not None:
        yield Sample(metric=f"{prefix}_slots", value=limit, ts=_moment(grid[-1]), labels=dict(labels), unit="runs")
    if limit:
        yield from _row(f"{prefix}_slots_used_ratio", labels, "ratio", grid, [count / limit for count in running])


def _row(
    metric: str, labels: Mapping[str, str], unit: str, grid: Sequence[float], values: Iterable[float]
) -> Iterator[Sample]:
    for at_s, value in zip(grid, values, strict=True):
        yield Sample(metric=metric, value=value, ts=_moment(at_s), labels=dict(labels), unit=unit)


def _running(runs: Iterable[_Run], grid: Sequence[float]) -> list[float]:
    began = [(run.start_s, run.end_s or math.inf) for run in runs if run.start_s is not None]
    return _within(began, grid)


def _waiting(runs: Iterable[_Run], grid: Sequence[float]) -> list[float]:
    return _within([(run.due_s, run.left_queue_s) for run in runs if run.left_queue_s > run.due_s], grid)


def _within(spans: Sequence[tuple[float, float]], grid: Sequence[float]) -> list[float]:
    """Return how many spans [start, end) each moment lies in."""
    starts, ends = sorted(start for start, _ in spans), sorted(end for _, end in spans)
    return [float(bisect_right(starts, at_s) - bisect_right(ends, at_s)) for at_s in grid]


def _oldest(runs: Iterable[_Run], grid: Sequence[float]) -> list[float]:
    """Return how long ago the oldest run was due that was not done at each moment, 0 where none was."""
    ages = [0.0] * len(grid)
    for run in runs:
        first = bisect_right(grid, run.due_s)
        last = len(grid) if run.end_s is None else bisect_right(grid, run.end_s)
        for place in range(first, last):
            ages[place] = max(ages[place], grid[place] - run.due_s)
    return ages


def _unix(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _moment(at_s: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at_s)


def _iso(at_s: float) -> str:
    return _moment(at_s).isoformat()
