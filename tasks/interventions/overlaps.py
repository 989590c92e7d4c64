"""Which acts of the last days reached which metric, and when: what confounds, and what the past must be free of."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from storage.actions import ActionView
from storage.records import NOTHING, BoolArray, Frame
from tasks.interventions.act_window import works_until


@dataclass(frozen=True)
class Act:
    """An act or undo that may have touched something: the metric it aimed at, and from when to when it counts."""

    action_id: str
    name: str
    series: str
    start: datetime
    end: datetime


def acts_of(
    views: Sequence[ActionView], durations_s: Mapping[str, float | None], ended_at: Mapping[str, datetime]
) -> tuple[Act, ...]:
    """Return the acts among finished actions; a failed one may have changed something before it failed.

    A sequence that was done is one act, from its first step on. `durations_s` says by action name for how long its
    effect is declared to last, None or no entry where not;
    `ended_at` by action id when it was taken back, or counts no more as another followed.
    """
    views = [view for view in views if view.touched and view.action.series and not view.action.dry_run]
    # Oldest first, so that the first step of a sequence is the one that counts.
    begun = {v.action.sequence_id: v.receipt.started_at for v in reversed(views) if v.action.sequence_id and v.receipt}
    return tuple(
        Act(
            view.action.action_id,
            view.action.name,
            view.action.series,
            begun.get(view.action.sequence_id, receipt.started_at),
            min(
                works_until(view.action, receipt, None if view.action.undo_of else durations_s.get(view.action.name)),
                ended_at.get(view.action.action_id, datetime.max.replace(tzinfo=UTC)),
            ),
        )
        for view in whole_sequences(views)
        if (receipt := view.touched) and view.action.series
    )


def followed_at(views: Iterable[ActionView]) -> dict[str, datetime]:
    """Return, by action id, when the next act on the same metric began, of finished acts whose measurement that ends.

    It ends that of an act of which nobody says how long it works, once it was seen for as long as it must be.
    """
    by_series: dict[str, list[ActionView]] = {}
    for view in views:
        action = view.action
        if view.touched and action.series and not action.dry_run and action.name != NOTHING:
            by_series.setdefault(action.series, []).append(view)
    found: dict[str, datetime] = {}
    for acts in by_series.values():
        begun = sorted(view.receipt.started_at for view in acts if view.receipt)
        for view in acts:
            least_s = view.action.least_horizon_s
            if view.receipt is None or least_s is None:
                continue
            place = bisect_left(begun, view.receipt.finished_at + timedelta(seconds=least_s))
            if place < len(begun):
                found[view.action.action_id] = begun[place]
    return found


def whole_sequences(views: Iterable[ActionView]) -> list[ActionView]:
    """Return acts, of a sequence that was done its last step alone: what its steps do is told together."""
    views = list(views)
    done = {view.action.sequence_id for view in views if view.action.steps and not view.action.is_middle_step}
    return [view for view in views if not (view.action.is_middle_step and view.action.sequence_id in done)]


def acted_in(frame: Frame, acts: Sequence[Act], series: str, judged: str) -> BoolArray:
    """Mark the steps (n_steps,) of a frame at which a metric was acted on, or at which the judged action acted at all.

    What an action does beside its aim is asked of past windows as well: those in which the same action ran say nothing
    about what happens without it.
    """
    # A step is (start, end]: what begins with the end of one touches the next.
    begins_s = frame.end.timestamp() - frame.step_s * frame.values.shape[1]
    windows = [
        ActionWindow(
            act.action_id,
            (act.start.timestamp() - begins_s) / frame.step_s,
            (act.end.timestamp() - begins_s) / frame.step_s,
            frozenset([series]),
        )
        for act in acts
        if act.series == series or act.name == judged
    ]
    return acted_steps(windows, series, frame.values.shape[1])


def overlapping(
    acts: Sequence[Act], own_id: str, start: datetime, until: datetime, series: str, *, any_metric: bool
) -> list[str]:
    """Return the other acts inside a window: those on the same metric, or with `any_metric` on any."""
    return [
        act.action_id
        for act in acts
        if act.action_id != own_id and act.start < until and start < act.end and (any_metric or act.series == series)
    ]


@dataclass(frozen=True)
class ActionWindow:
    """The steps over which an action reaches some metrics: `start` included, `end` not.

    The unit is the caller's (steps or epoch seconds).
    """

    action_id: str
    start: float
    end: float
    metrics: frozenset[str]


def acted_steps(windows: Iterable[ActionWindow], metric: str, n_steps: int) -> BoolArray:
    """Mark the steps (n_steps,) of a metric's history that lie inside any action's window, in step units."""
    acted = np.zeros(n_steps, dtype=np.bool_)
    for window in windows:
        if metric in window.metrics:
            acted[max(0, int(np.floor(window.start))) : max(0, int(np.ceil(window.end)))] = True
    return acted
