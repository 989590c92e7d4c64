"""Recorded history through the same loop: which goals, when, with how much lead time, and what it would have done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.simulate import SimulationReport, simulate
from flows.wiring import open_configured_store
from handlers import discover_actions
from handlers.worlds.replay import Recording, ReplayWorld
from settings import Settings, load_settings, utc_now
from storage import ForeactError, Store
from storage.records import GoalType, GoalView, Objective, ObjectiveKind, Sample, metric_of
from tasks.context import objectives_in_force

MOST_TICKS = 2_000
EPISODE_GAP_STEPS = 3


@dataclass(frozen=True)
class Episode:
    """A stretch in which an objective was really broken, and how much earlier a goal said so."""

    objective: str
    series: str
    start: datetime
    end: datetime
    goal_id: str | None
    lead_time_s: float | None


@dataclass(frozen=True)
class BacktestReport:
    """What the loop would have made of a stretch of history."""

    start: datetime
    end: datetime
    every_s: float
    simulation: SimulationReport
    episodes: tuple[Episode, ...]
    false_alarms: tuple[GoalView, ...]

    @property
    def missed(self) -> tuple[Episode, ...]:
        """Return the breaches that no goal foretold or met."""
        return tuple(episode for episode in self.episodes if episode.goal_id is None)

    def summary(self) -> dict[str, Any]:
        """Return the figures, ready for JSON."""
        leads = [each.lead_time_s for each in self.episodes if each.lead_time_s is not None]
        return {
            **self.simulation.summary(),
            "every_s": self.every_s,
            "breaches": len(self.episodes),
            "missed_breaches": len(self.missed),
            "false_alarms": len(self.false_alarms),
            "median_lead_time_s": float(np.median(leads)) if leads else None,
        }

    def to_json(self) -> str:
        """Return the figures and every breach as JSON."""
        episodes = [asdict(episode) for episode in self.episodes]
        return json.dumps({"summary": self.summary(), "episodes": episodes}, default=str, indent=2)


def backtest(
    store: Store,
    settings: Settings,
    start: datetime,
    end: datetime,
    *,
    every_s: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> BacktestReport:
    """Replay (start, end] of a store's history through the loop with these settings; nothing is changed in it.

    A turn is taken every `every_s` seconds: by default the analysis interval, but no more than 2,000 turns in all.
    Raises `history_empty` where nothing was recorded in the span.
    """
    settings = _with_objectives(settings, store)
    recording = _recording(store, start, end)
    pace_s = every_s or max(settings.analysis_interval_s, (end - start).total_seconds() / MOST_TICKS)
    world = ReplayWorld(recording, discover_actions())
    report = simulate(world, settings, _ticks(recording, end, pace_s), actions=world.actions, progress=progress)
    episodes = tuple(_episodes(report, settings, end, pace_s))
    return BacktestReport(start, end, pace_s, report, episodes, tuple(_false_alarms(report, episodes, end)))


def _with_objectives(settings: Settings, store: Store) -> Settings:
    """Return settings that hold the objectives in force, those set by hand included."""
    objectives = objectives_in_force(settings, store)
    return settings.model_copy(update={"objectives": objectives, "use_default_objectives": False})


def _recording(store: Store, start: datetime, end: datetime) -> Recording:
    columns = store.samples.columns(start, end)
    known = {info.series: info for info in store.samples.known()}
    samples = tuple(
        Sample(
            metric=metric_of(series),
            value=float(value),
            ts=moment,
            labels=known[series].labels,
            unit=known[series].unit,
        )
        for series, moment, value in zip(
            columns["series"].tolist(), _moments(columns["ts"]), columns["value"].tolist(), strict=True
        )
    )
    if not samples:
        raise ForeactError(
            "history_empty",
            f"Nothing was recorded between {start:%Y-%m-%d %H:%M} and {end:%Y-%m-%d %H:%M} UTC.",
            "Choose another span, or bring history in with `foreact import FILE`.",
        )
    return Recording(samples, tuple(reversed(store.events.between(start, end))))


def _moments(column: Any) -> list[datetime]:
    micros = np.asarray(column).astype("datetime64[us]").astype(np.int64)
    epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return [epoch + timedelta(microseconds=int(each)) for each in micros]


def _ticks(recording: Recording, end: datetime, pace_s: float) -> Iterable[datetime]:
    tick = recording.samples[0].ts + timedelta(seconds=pace_s)
    while tick <= end:
        yield tick
        tick += timedelta(seconds=pace_s)


def _episodes(report: SimulationReport, settings: Settings, end: datetime, pace_s: float) -> Iterable[Episode]:
    """Find the real breaches of every bounded objective and the goal, if any, that was there for each."""
    for objective in objectives_in_force(settings, report.store):
        if objective.kind is ObjectiveKind.BOUND:
            for info in report.store.samples.known():
                if objective.matches(info.series):
                    yield from _episodes_of(report, objective, info.series, end, pace_s)


def _episodes_of(
    report: SimulationReport, objective: Objective, series: str, end: datetime, pace_s: float
) -> Iterable[Episode]:
    step_s = min(60.0, pace_s)
    steps = int((end - report.first_tick).total_seconds() / step_s) + 1
    values = report.store.samples.frame([series], end, step_s, steps).values[0]
    broken = np.isfinite(values) & (
        (values > objective.bound) if objective.side == "below" else (values < objective.bound)
    )
    for first, last in _runs(np.flatnonzero(broken)):
        start_at = end - timedelta(seconds=step_s * (steps - 1 - first))
        end_at = end - timedelta(seconds=step_s * (steps - 1 - last))
        goal = _goal_for(report, objective, series, start_at, end_at)
        lead_s = (start_at - goal.goal.created_at).total_seconds() if goal else None
        yield Episode(objective.name, series, start_at, end_at, goal.goal.goal_id if goal else None, lead_s)


def _runs(places: np.ndarray[Any, Any]) -> list[tuple[int, int]]:
    if not len(places):
        return []
    cuts = np.flatnonzero(np.diff(places) > EPISODE_GAP_STEPS)
    starts, ends = np.r_[places[0], places[cuts + 1]], np.r_[places[cuts], places[-1]]
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]


def _goal_for(
    report: SimulationReport, objective: Objective, series: str, start: datetime, end: datetime
) -> GoalView | None:
    """Return the earliest goal to prevent a breach that was open at some time from a horizon before it to its end."""
    horizon = timedelta(seconds=objective.horizon_s)
    fitting = [
        view
        for view in report.goals
        if view.goal.goal_type is GoalType.BOTTLENECK_PREVENTION
        and (view.goal.objective, view.goal.series) == (objective.name, series)
        and view.goal.created_at <= end
        and (view.is_open or view.since >= start - horizon)
    ]
    return min(fitting, key=lambda view: view.goal.created_at, default=None)


def _false_alarms(report: SimulationReport, episodes: tuple[Episode, ...], end: datetime) -> Iterable[GoalView]:
    """Return goals that foretold a breach which did not come, by the time they had closed."""
    met = {episode.goal_id for episode in episodes}
    for view in report.goals:
        foretold = view.goal.goal_type is GoalType.BOTTLENECK_PREVENTION
        if foretold and not view.is_open and view.goal.goal_id not in met and view.goal.deadline < end:
            yield view


@flow(name="backtest", description=__doc__, validate_parameters=False)
async def replay_history(days: float = 7.0, every_minutes: float | None = None) -> State[Any]:
    """Replay the last `days` of the store's own history and keep the result as an artifact of this run."""
    settings, end = load_settings(), utc_now()
    every_s = every_minutes * 60 if every_minutes else None
    with open_configured_store(settings) as store:
        report = backtest(store, settings, end - timedelta(days=days), end, every_s=every_s)
        store.facts.set("backtest", report.summary())
    rows = [asdict(episode) | {"lead_time_s": episode.lead_time_s} for episode in report.episodes]
    await create_table_artifact(  # type: ignore[misc]
        table=json.loads(json.dumps(rows, default=str)), key="backtest-breaches", description=report.to_json()
    )
    return Completed(message=json.dumps(report.summary(), default=str))
