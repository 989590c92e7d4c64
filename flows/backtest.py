"""Recorded history through the same loop: which goals, when, with how much lead time, and what it would have done."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import acreate_progress_artifact, acreate_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.reports.episodes import false_alarms, find_episodes
from flows.reports.pages import write_page
from flows.reports.results import BacktestReport, WouldDo
from flows.run_record import shown_at
from flows.simulate import simulate
from flows.wiring import open_configured_store
from handlers import ActionsByName, discover_actions
from handlers.worlds.replay import Recording, ReplayWorld
from settings import Settings, load_settings, utc_now
from storage import ForeactError, Store, TransientError
from storage.actions import ActionView
from storage.facts import BACKTEST, BACKTEST_PROGRESS, BacktestProgress
from storage.records import NOTHING, ReceiptStatus
from storage.sample_window import moment_at
from storage.samples import SampleColumns
from tasks.configured_actions import configured_actions, declared_actions
from tasks.context import Once, found_here
from tasks.monitor.windows import LONGEST_STEP_S, SPARSE_REACH_S, sparse
from tasks.objectives.in_force import objectives_in_force

logger = logging.getLogger(__name__)

MOST_TICKS = 2_000


def backtest(
    store: Store,
    settings: Settings,
    start: datetime,
    end: datetime,
    *,
    every_s: float | None = None,
    configuration: str = "",
    progress: Callable[[int, int], None] | None = None,
    once: Once = found_here,
) -> BacktestReport:
    """Replay (start, end] of a store's history through the loop with these settings; nothing is changed in it.

    A turn is taken every `every_s` seconds, by default the analysis interval, or less often where that would be more
    than 2,000 turns. The loop knows what was recorded before `start`, as far back as it looks. `once` is how it comes
    by what another replay may have found. Raises `history_empty` where nothing was recorded in the span, or less than
    one turn's time.
    """
    settings = _with_objectives(settings, store)
    recording = _recording(store, start, end, _reach(settings))
    asked_s = every_s or settings.analysis_interval_s
    pace_s = _pace_s(asked_s, start, end)
    actions = usable_actions(settings)
    ticks = _ticks(recording, start, end, pace_s)
    report = simulate(ReplayWorld(recording, actions), settings, ticks, actions=actions, progress=progress, once=once)
    episodes = find_episodes(report.store, report.objectives, report.goals, report.first_tick, end)
    alarms = false_alarms(report.goals, episodes, end, report.objectives)
    return BacktestReport(
        start=start,
        end=end,
        every_s=pace_s,
        asked_every_s=asked_s,
        configuration=configuration or settings.hash,
        simulation=replace(report, episodes=tuple(episodes), false_alarms=tuple(alarms)),
        actions=tuple(_would_do(report.actions, actions)),
    )


def rehearsal(
    store: Store,
    settings: Settings,
    start: datetime,
    end: datetime,
    every_s: float,
    progress: Callable[[int, int], None] | None = None,
) -> Store:
    """Replay (start, end] of a store's history without any action; return the store in memory that it filled.

    Raises `history_empty` where nothing was recorded in the span.
    """
    recording = _recording(store, start, end, _reach(settings))
    ticks = _ticks(recording, start, end, _pace_s(every_s, start, end))
    nothing = settings.model_copy(update={"objectives": (), "use_default_objectives": False})
    return simulate(ReplayWorld(recording), nothing, ticks, actions={}, progress=progress).store


def _pace_s(asked_s: float, start: datetime, end: datetime) -> float:
    """Return the time between turns: as asked for, or longer where that would be more than `MOST_TICKS` turns."""
    return max(asked_s, (end - start).total_seconds() / MOST_TICKS)


def _with_objectives(settings: Settings, store: Store) -> Settings:
    """Return settings that hold the objectives in force, those set by hand included."""
    settings = settings.model_copy(update={"shared": {}})
    objectives = objectives_in_force(settings, store)
    return settings.model_copy(update={"objectives": objectives, "use_default_objectives": False})


def usable_actions(settings: Settings) -> ActionsByName:
    """Return every action that the configuration lets propose something, and those that it declares."""
    ready = {**discover_actions(settings.folder), **declared_actions(settings)}
    configured = configured_actions(settings, ready)
    usable = (name for name, each in configured.items() if name in ready or each.is_carried_out_here)
    return ActionsByName({name: configured[name] for name in usable if configured[name].is_ready})


def _would_do(views: Iterable[ActionView], actions: ActionsByName) -> Iterator[WouldDo]:
    for view in sorted(views, key=lambda each: each.action.due_at):
        name, receipt = view.action.name, view.receipt
        if name != NOTHING and receipt is not None and receipt.status is ReceiptStatus.DRY_RUN:
            yield WouldDo(receipt.finished_at, name, view.action.target, view.action.goal_id, actions[name].cost)


def _reach(settings: Settings) -> timedelta:
    return timedelta(seconds=settings.forecasting.forecaster.window_steps * LONGEST_STEP_S)


def _recording(store: Store, start: datetime, end: datetime, reach: timedelta) -> Recording:
    """Return what the loop looks at: all as far back as `reach`, events and series of rare samples for five weeks."""
    if not store.samples.spans(start, end):
        raise _empty(f"Nothing was recorded between {_span(start, end)}.")
    furthest = start - max(reach, timedelta(seconds=SPARSE_REACH_S))
    rare = sparse(store.samples.spans(start - reach, end))
    parts = [store.samples.history(furthest, start - reach, rare), store.samples.history(start - reach, end)]
    return Recording(SampleColumns.joined(parts), tuple(reversed(store.events.between(furthest, end))))


def _empty(why: str) -> ForeactError:
    return ForeactError("history_empty", why, "Choose another span, or import history with `foreact import FILE`.")


def _span(start: datetime, end: datetime) -> str:
    return f"{start:%Y-%m-%d %H:%M} and {end:%Y-%m-%d %H:%M} UTC"


def _ticks(recording: Recording, start: datetime, end: datetime, pace_s: float) -> list[datetime]:
    pace = timedelta(seconds=pace_s)
    first = max(start, moment_at(int(recording.samples.moments_us[0])))
    if first + pace > end:
        raise _empty(f"Less than one turn of {pace_s:g} s was recorded between {_span(start, end)}.")
    return [first + number * pace for number in range(1, (end - first) // pace + 1)]


@flow(name="backtest", description=__doc__, validate_parameters=False)
async def replay_history(days: float = 7.0, every_minutes: float | None = None) -> State[Any]:
    """Replay the last `days` of the store's own history; figures and page are kept, breaches become an artifact."""
    settings, end = load_settings(), utc_now()
    every_s = every_minutes * 60 if every_minutes else None
    bar = await acreate_progress_artifact(0.0, key="backtest-progress", description=f"The last {days:g} days.")
    with open_configured_store(settings) as store, told_of(store, end, days, shown_at(bar)) as progress:
        report = backtest(store, settings, end - timedelta(days=days), end, every_s=every_s, progress=progress)
        page = write_page(report, page_of(settings, end))
        store.facts.set(BACKTEST, report.summary() | {"page": str(page)})
    rows = [asdict(episode) | {"warning": episode.warning} for episode in report.episodes]
    await acreate_table_artifact(
        table=json.loads(json.dumps(rows, default=str)), key="backtest-breaches", description=report.to_json()
    )
    return Completed(message=json.dumps(report.summary(), default=str))


@contextmanager
def told_of(
    store: Store, started_at: datetime, days: float, show: Callable[[float], None] = lambda percent: None
) -> Iterator[Callable[[int, int], None]]:
    """Keep how far a backtest has come, some fifty times, and how it ended; what cannot be kept is not.

    `show` is given the percentage each time.
    """
    said = BacktestProgress(started_at, days)

    def tell(changed: BacktestProgress) -> None:
        nonlocal said
        said = changed
        try:
            store.facts.set(BACKTEST_PROGRESS, said, "backtest")
        except TransientError as trouble:
            logger.debug("how far the backtest has come could not be kept: %s", trouble)
        show(100 * said.turns_done / said.turns if said.turns else 0.0)

    def progress(turn: int, turns: int) -> None:
        if turn == turns or turn % max(1, turns // 50) == 0:
            tell(replace(said, turns_done=turn, turns=turns))

    tell(said)
    try:
        yield progress
    except ForeactError as refusal:
        tell(replace(said, is_over=True, trouble=str(refusal)))
        raise
    except BaseException as trouble:
        tell(replace(said, is_over=True, trouble=f"It ended early ({type(trouble).__name__})."))
        raise
    tell(replace(said, is_over=True))


def page_of(settings: Settings, end: datetime) -> Path:
    """Return where the page of a backtest is kept when nobody says otherwise."""
    return settings.home / "reports" / f"backtest-{end:%Y-%m-%dT%H-%M-%S}.html"
