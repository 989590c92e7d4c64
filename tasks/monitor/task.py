"""The monitor stage: what the world has to say goes into the store, the working windows come out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from storage.records import Event, Frame, Sample
from tasks.context import SOURCE_FACT, Context
from tasks.monitor import plan_windows
from tasks.monitor.windows import LONGEST_STEP_S
from tasks.stage import stage

Frames = tuple[Frame, ...]


def _summary(frames: Frames) -> Mapping[str, Any]:
    return {"series": sum(len(frame.series) for frame in frames), "steps_s": [frame.step_s for frame in frames]}


@stage("monitor", _summary)
def monitor(context: Context) -> Frames:
    """Record what the world reports, then return the working windows ending at the tick."""
    pull(context)
    return working_windows(context)


def pull(context: Context) -> None:
    """Record what the world reports since the last turn."""
    reported = list(context.world.observe(context.tick))
    context.store.samples.append([each for each in reported if isinstance(each, Sample)])
    context.store.events.append([each for each in reported if isinstance(each, Event)])
    for source, newest in getattr(context.world, "newest", {}).items():
        context.store.facts.set(f"{SOURCE_FACT}{source}", newest.isoformat())
    for trouble in getattr(context.world, "troubles", ()):
        context.store.audit.append("loop", "source failed", "monitor", {"trouble": trouble})


def working_windows(context: Context) -> Frames:
    """Return every series with recent samples, on the grid that fits its sampling and history."""
    options = context.settings.forecasting.forecaster
    reach = timedelta(seconds=max(options.window_steps * LONGEST_STEP_S, 3_600))
    spans = context.store.samples.spans(context.tick - reach, context.tick)
    windows = plan_windows(spans, context.tick, options.window_steps, options.step_seconds, options.max_series)
    return tuple(
        context.store.samples.frame(window.series, context.tick, window.step_s, window.steps) for window in windows
    )
