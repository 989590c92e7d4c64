"""The monitor stage: what the world has to say goes into the store, the working windows come out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from storage.facts import SOURCES
from storage.records import Event, Frame, Sample
from storage.samples import SampleWindow, SeriesInfo
from tasks.context import Context
from tasks.monitor import plan_windows
from tasks.monitor.windows import LONGEST_STEP_S, SPARSE_REACH_S, FrameWindow, sparse
from tasks.objectives.in_force import objectives_in_force
from tasks.objectives.ratios import ratio_samples
from tasks.stage import stage

Frames = tuple[Frame, ...]


def _summary(frames: Frames) -> Mapping[str, Any]:
    return {"series": sum(len(frame.series) for frame in frames), "steps_s": [frame.step_s for frame in frames]}


@stage("monitor", _summary)
def monitor(context: Context) -> Frames:
    """Record what the world reports, then return the working windows ending at the tick."""
    pull(context)
    derive_ratios(context)
    return working_windows(context)


def pull(context: Context) -> None:
    """Record what the world reports since the last turn."""
    reported = list(context.world.observe(context.tick))
    context.store.samples.append([each for each in reported if isinstance(each, Sample)])
    context.store.events.append([each for each in reported if isinstance(each, Event)])
    for source, newest in getattr(context.world, "newest", {}).items():
        context.store.facts.set(SOURCES.of(source), newest)
    for trouble in getattr(context.world, "troubles", ()):
        context.store.audit.append("loop", "source failed", "monitor", {"trouble": trouble})


def derive_ratios(context: Context) -> None:
    """Record the ratios that objectives name at every step that has none yet: series like any other from here on."""
    ratios = [
        objective
        for objective in objectives_in_force(context.settings, context.store)
        if objective.denominator is not None
    ]
    if not ratios:
        return
    parts = {name for objective in ratios for name in (objective.metric, str(objective.denominator))}
    recent = _recent(context)
    spans = recent.spans()
    last_at = {info.series: info.last for info in spans if info.last is not None}
    samples = [
        sample
        for frame in _frames(context, recent, [info for info in spans if {info.series, info.metric} & parts])
        for sample in ratio_samples(frame, ratios, last_at)
    ]
    context.store.samples.append(samples)


def working_windows(context: Context) -> Frames:
    """Return every series with recent samples, on the grid that fits its sampling and history."""
    recent = _recent(context)
    return _frames(context, recent, _further_back(context, recent.spans()))


def _recent(context: Context) -> SampleWindow:
    options = context.settings.forecasting.forecaster
    reach = timedelta(seconds=max(options.window_steps * LONGEST_STEP_S, 3_600))
    return context.store.samples.recent(context.tick - reach, context.tick)


def _further_back(context: Context, spans: Iterable[SeriesInfo]) -> list[SeriesInfo]:
    """Return the same series, those of hourly samples or rarer with all they have of the last five weeks."""
    spans = list(spans)
    names = sparse(spans)
    if not names:
        return spans
    since = context.tick - timedelta(seconds=SPARSE_REACH_S)
    longer = context.store.samples.window(since, context.tick, series=names).spans()
    by_name = {info.series: info for info in longer}
    return [by_name.get(info.series, info) for info in spans]


def _frames(context: Context, recent: SampleWindow, spans: Iterable[SeriesInfo]) -> Frames:
    options = context.settings.forecasting.forecaster
    windows = plan_windows(spans, context.tick, options.window_steps, options.step_seconds, options.max_series)
    return tuple(_frame(context, recent, window).in_seasons(options.seasons_seconds) for window in windows)


def _frame(context: Context, recent: SampleWindow, window: FrameWindow) -> Frame:
    """Lay series on their grid: of what was just read, or of more where the grid reaches further back."""
    start = context.tick - timedelta(seconds=window.step_s * window.steps)
    if recent.since <= start:
        return recent.frame(window.series, window.step_s, window.steps)
    return context.store.samples.frame(window.series, context.tick, window.step_s, window.steps)
