"""The runs of deployments as their events tell of them: those that ended, those that run, those that wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from typing import Literal

import numpy as np

from storage.records import Event, FloatArray, series_key

RunState = Literal["scheduled", "running", "completed", "failed", "cancelled"]

STATE_OF: Mapping[str, RunState] = {
    "prefect_run_scheduled": "scheduled",
    "prefect_run_late": "scheduled",
    "prefect_run_started": "running",
    "prefect_run_completed": "completed",
    "prefect_run_failed": "failed",
    "prefect_run_cancelled": "cancelled",
}
"""The state in which a run is after each event; each goes before those above it."""

PLANNED = frozenset({"prefect_run_scheduled", "prefect_run_started", "prefect_run_completed"})
"""What comes again because somebody scheduled it: nobody needs to be told, unless an objective minds."""

_RANK = {kind: rank for rank, kind in enumerate(STATE_OF)}


@dataclass(frozen=True)
class DeploymentRun:
    """One run of a deployment; times in unix seconds. `priority` is that of its queue, 1 goes first."""

    run_id: str
    name: str
    deployment: str
    state: RunState
    due_s: float
    start_s: float | None = None
    end_s: float | None = None
    work_pool: str = ""
    work_queue: str = ""
    priority: int = 1
    retries: int = 0

    @property
    def is_open(self) -> bool:
        """Tell whether it is still to be done."""
        return self.state in ("scheduled", "running")


@dataclass(frozen=True)
class RunHistory:
    """Every run that is known, and how many a work pool runs at a time, where it is limited.

    `zone` is by whose clocks the time of day counts.
    """

    runs: tuple[DeploymentRun, ...] = ()
    slots: Mapping[str, float] = field(default_factory=dict)
    zone: tzinfo = UTC

    def run(self, run_id: object) -> DeploymentRun | None:
        """Return a run by its id."""
        return self._by_id.get(str(run_id))

    @cached_property
    def _by_id(self) -> Mapping[str, DeploymentRun]:
        return {run.run_id: run for run in self.runs}

    @cached_property
    def by_deployment(self) -> Mapping[str, tuple[DeploymentRun, ...]]:
        """Return the runs of each deployment, in the order in which they were due."""
        runs: dict[str, list[DeploymentRun]] = {}
        for run in sorted(self.runs, key=lambda run: (run.due_s, run.run_id)):
            runs.setdefault(run.deployment, []).append(run)
        return {name: tuple(each) for name, each in runs.items()}

    @cached_property
    def by_pool(self) -> Mapping[str, PoolLoad]:
        """Return what ran when, by work pool."""
        runs: dict[str, list[DeploymentRun]] = {}
        for run in self.runs:
            runs.setdefault(run.work_pool, []).append(run)
        return {name: PoolLoad.of(each) for name, each in runs.items()}


@dataclass(frozen=True)
class PoolLoad:
    """When runs of one pool were due, started and ended (each sorted, unix seconds; those that did).

    `pickup_s` is how long a run waits for the worker's next look once it is due and has a slot.
    """

    dues: FloatArray
    starts: FloatArray
    ends: FloatArray
    busy: FloatArray
    at: FloatArray
    pickup_s: float = 0.0

    @classmethod
    def of(cls, runs: Iterable[DeploymentRun]) -> PoolLoad:
        """Return the load of these runs; `busy` (n,) is the run time done up to the moments `at` (n,)."""
        started = [run for run in runs if run.start_s is not None]
        dues = np.sort([run.due_s for run in started])
        starts = np.sort([float(run.start_s or 0.0) for run in started])
        ends = np.sort([run.end_s for run in started if run.end_s is not None])
        at = np.concatenate([starts, ends])
        order = np.argsort(at, kind="stable")
        running = np.cumsum(np.concatenate([np.ones(len(starts)), -np.ones(len(ends))])[order])
        at = at[order]
        busy = np.concatenate([[0.0], np.cumsum(running[:-1] * np.diff(at))]) if len(at) else np.zeros(0)
        return cls(dues, starts, ends, busy, at, _pickup_s(started, ends))

    def running(self, at_s: float | FloatArray) -> FloatArray:
        """Return how many ran at moments (n,)."""
        return _before(self.starts, at_s, "right") - _before(self.ends, at_s, "right")

    def waiting(self, at_s: float | FloatArray) -> FloatArray:
        """Return how many that have started by now were due and had not started at moments (n,)."""
        return np.maximum(0.0, _before(self.dues, at_s, "left") - _before(self.starts, at_s, "right"))

    def beside(self, start_s: float | FloatArray, end_s: float | FloatArray) -> FloatArray:
        """Return how many others ran on average while runs did that started and ended then (n,)."""
        took_s = np.maximum(np.subtract(end_s, start_s), 1e-9)
        return np.maximum(0.0, (self._done(end_s) - self._done(start_s)) / took_s - 1.0)

    def _done(self, at_s: float | FloatArray) -> FloatArray:
        if len(self.at) == 0:
            return np.zeros(np.shape(at_s))
        place = np.searchsorted(self.at, at_s, "right") - 1
        since_s = np.where(place < 0, 0.0, at_s - self.at[place])
        return np.where(place < 0, 0.0, self.busy[place]) + self.running(at_s) * since_s


def _pickup_s(started: Sequence[DeploymentRun], ends: FloatArray) -> float:
    """Return the median time from when a run is due and, where it had to queue, a slot is free until it starts."""
    if not started:
        return 0.0
    starts = np.array([float(run.start_s or 0.0) for run in started])
    freed = np.concatenate([[-np.inf], ends])[np.searchsorted(ends, starts, "right")]
    return float(np.median(np.maximum(0.0, starts - np.maximum([run.due_s for run in started], freed))))


def _before(moments: FloatArray, at_s: float | FloatArray, side: Literal["left", "right"]) -> FloatArray:
    return np.asarray(np.searchsorted(moments, at_s, side), dtype=np.float64)


def run_history(events: Iterable[Event], now: Mapping[str, float]) -> RunHistory:
    """Return the runs that events tell of; `now` holds the present values of the metrics of `prefect_runs` by series.

    A schedule that was changed or switched off takes its runs back without a word: of those that are open as many count
    as there are by the metrics, the last told of first.
    """
    by_run: dict[str, list[Event]] = {}
    for event in events:
        if event.event_type in STATE_OF:
            by_run.setdefault(str(event.metadata.get("run_id")), []).append(event)
    told = [(max(each, key=_rank).ts, _run_of(each)) for each in by_run.values()]
    runs = [run for _, run in told if not run.is_open]
    for state, metrics in (
        ("running", ("prefect_running_runs",)),
        ("scheduled", ("prefect_waiting_runs", "prefect_scheduled_runs")),
    ):
        runs += _still_there([each for each in told if each[1].state == state], metrics, now)
    slots = {
        pool: now[series]
        for pool in {run.work_pool for run in runs}
        if (series := series_key("prefect_pool_slots", {"work_pool": pool})) in now
    }
    return RunHistory(tuple(runs), slots)


def _still_there(
    told: Sequence[tuple[datetime, DeploymentRun]], metrics: Sequence[str], now: Mapping[str, float]
) -> list[DeploymentRun]:
    by_deployment: dict[str, list[tuple[datetime, DeploymentRun]]] = {}
    for each in told:
        by_deployment.setdefault(each[1].deployment, []).append(each)
    kept = []
    for deployment, runs in by_deployment.items():
        series = [series_key(metric, {"deployment": deployment}) for metric in metrics]
        counted = [now[each] for each in series if each in now]
        most = round(sum(counted)) if len(counted) == len(series) else len(runs)
        newest_first = sorted(runs, key=lambda each: (each[0], each[1].due_s), reverse=True)
        kept += [run for _, run in newest_first[:most]]
    return kept


def _rank(event: Event) -> tuple[int, datetime]:
    return _RANK[event.event_type], event.ts


def _run_of(events: Sequence[Event]) -> DeploymentRun:
    last = max(events, key=_rank)
    known = {key: value for event in sorted(events, key=_rank) for key, value in event.metadata.items()}
    state = STATE_OF[last.event_type]
    return DeploymentRun(
        run_id=str(known.get("run_id")),
        name=str(known.get("run")),
        deployment=last.labels.get("deployment", ""),
        state=state,
        due_s=_unix(known.get("due")) or last.ts.timestamp(),
        start_s=_unix(known.get("start")),
        end_s=_unix(known.get("end")),
        work_pool=str(known.get("work_pool") or ""),
        work_queue=str(known.get("work_queue") or ""),
        priority=int(known.get("priority") or 1),
        retries=int(known.get("retries") or 0),
    )


def _unix(text: object) -> float | None:
    return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else None
