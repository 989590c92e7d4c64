"""The monitor stage: what the world has to say goes into the store, the working windows come out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from storage.facts import SOURCES, TROUBLES
from storage.records import Event, FloatArray, Frame, Sample, labels_of, metric_of
from storage.samples import SampleColumns, SampleWindow, SeriesInfo
from tasks.context import Context
from tasks.monitor import plan_windows
from tasks.monitor.windows import LONGEST_STEP_S, SPARSE_REACH_S, FrameWindow, choose_step_s, sparse, worth_following
from tasks.objectives.in_force import objectives_in_force
from tasks.objectives.ratios import (
    RatioPair,
    is_only_there_when_it_happens,
    parts_of,
    ratio_of,
    ratio_pairs,
    usual_gap_s,
    with_zeros,
)
from tasks.stage import stage

Frames = tuple[Frame, ...]
LATE_S = 600.0


def _summary(frames: Frames) -> Mapping[str, Any]:
    return {"series": sum(len(frame.series) for frame in frames), "steps_s": [frame.step_s for frame in frames]}


@stage("monitor", _summary)
def monitor(context: Context) -> Frames:
    """Record what the world reports, then return the working windows ending at the tick."""
    pull(context)
    derive_ratios(context)
    recent, spans, left_out = _followed(context)
    _tell(context, tuple(getattr(context.world, "troubles", ())), left_out)
    return _frames(context, recent, spans)


def pull(context: Context) -> None:
    """Record what the world reports since the last turn."""
    reported = list(context.world.observe(context.tick))
    samples = [each for each in reported if isinstance(each, Sample)]
    columns = [each for each in reported if isinstance(each, SampleColumns)]
    if samples or columns:
        context.store.samples.append_columns(SampleColumns.joined([SampleColumns.of(samples), *columns]))
    context.store.events.append([each for each in reported if isinstance(each, Event)])
    for source, newest in getattr(context.world, "newest", {}).items():
        context.store.facts.set(SOURCES.of(source), newest)


def _tell(context: Context, unread: tuple[str, ...], left_out: tuple[str, ...]) -> None:
    """Keep what could not be read or is not looked at, to be shown while it lasts; each is audited when it begins."""
    before = context.store.facts.get(TROUBLES) or ()
    for verb, troubles in (("source failed", unread), ("series left out", left_out)):
        for trouble in troubles:
            if trouble not in before:
                context.store.audit.append("loop", verb, "monitor", {"trouble": trouble})
    if (*unread, *left_out) != before:
        context.store.facts.set(TROUBLES, (*unread, *left_out))


def frames_now(context: Context) -> Frames:
    """Return the windows that a turn would look at now, from what is recorded; nothing is asked or written."""
    recent, spans, _ = _followed(context)
    return _frames(context, recent, spans)


def derive_ratios(context: Context) -> None:
    """Record the ratios that objectives name, at the coarser step of their parts: series like any other from here on.

    Steps of the last minutes are derived anew, as a part of them may have come late.
    """
    objectives = [each for each in objectives_in_force(context.settings, context.store) if each.denominator is not None]
    if not objectives:
        return
    spans = {info.series: info for info in _recent(context).spans()}
    of_step: dict[float, list[RatioPair]] = defaultdict(list)
    for pair in ratio_pairs(objectives, spans):
        of_step[choose_step_s(spans[pair.below].interval_s, 0, 1)].append(pair)
    samples = [each for step_s, pairs in of_step.items() for each in _of_step(context, pairs, step_s, spans)]
    context.store.samples.append(samples)


def _of_step(
    context: Context, pairs: list[RatioPair], step_s: float, spans: Mapping[str, SeriesInfo]
) -> Iterator[Sample]:
    """Yield the new values of ratios whose denominators have one step; of some the numerator's own step is coarser."""
    frame = _whole_steps(context, pairs, step_s, spans)
    coarser: dict[float, list[RatioPair]] = defaultdict(list)
    for pair in pairs:
        above, below = parts_of(pair, frame)
        own_step_s = choose_step_s(usual_gap_s(frame.row(pair.above), step_s), 0, 1)
        if own_step_s <= step_s or is_only_there_when_it_happens(above, below):
            yield from _new(frame, pair, ratio_of(with_zeros(above, below), below), spans)
        else:
            coarser[own_step_s].append(pair)
    for wider_s, members in coarser.items():
        wide = _whole_steps(context, members, wider_s, spans)
        for pair in members:
            yield from _new(wide, pair, ratio_of(*parts_of(pair, wide)), spans)


def _whole_steps(context: Context, pairs: list[RatioPair], step_s: float, spans: Mapping[str, SeriesInfo]) -> Frame:
    """Lay ratios and their parts on a grid that is the same in every turn, whenever that begins."""
    end = datetime.fromtimestamp(context.tick.timestamp() // step_s * step_s, UTC)
    named = {name for pair in pairs for name in (pair.series, pair.above, pair.below)}
    series = sorted(name for name in named if name in spans)
    steps = context.settings.forecasting.forecaster.window_steps
    since = end - timedelta(seconds=step_s * steps)
    return context.store.samples.recent(since, end).frame(series, step_s, steps)


def _new(frame: Frame, pair: RatioPair, row: FloatArray, spans: Mapping[str, SeriesInfo]) -> Iterator[Sample]:
    known = spans.get(pair.series)
    since = known.last - timedelta(seconds=LATE_S) if known is not None and known.last is not None else None
    metric, labels = metric_of(pair.series), dict(labels_of(pair.series))
    is_new = np.isfinite(row) & (row != frame.row(pair.series) if known is not None else True)
    for place in np.flatnonzero(is_new).tolist():
        ts = frame.end - timedelta(seconds=frame.step_s * (len(row) - 1 - place))
        if since is None or ts > since:
            yield Sample(metric=metric, labels=labels, value=float(row[place]), ts=ts)


def _followed(context: Context) -> tuple[SampleWindow, list[SeriesInfo], tuple[str, ...]]:
    """Return the recent samples, the series to look at, and what is said of those that are left out."""
    recent = _recent(context)
    most = context.settings.forecasting.forecaster.max_series
    spans, left_out = worth_following(recent.spans(), context.tick, most)
    return recent, _further_back(context, spans), tuple(left_out)


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
