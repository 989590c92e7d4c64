"""When objectives were really broken, and whether a goal had said so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np

from storage import Store
from storage.records import GoalView, Objective
from storage.samples import SeriesInfo

GAP_STEPS = 3
SHORTEST_STEP_S = 60.0

Warning_ = Literal["foretold", "late", "missed"]


@dataclass(frozen=True)
class Episode:
    """A stretch in which an objective was really broken, and how much earlier a goal said so.

    `lead_time_s` is negative where the goal came after the breach had begun; None where none came.
    """

    objective: str
    series: str
    start: datetime
    end: datetime
    goal_id: str | None
    lead_time_s: float | None

    @property
    def warning(self) -> Warning_:
        """Return whether the breach was foretold, noticed while it lasted, or missed."""
        if self.lead_time_s is None:
            return "missed"
        return "foretold" if self.lead_time_s > 0 else "late"

    @property
    def duration_s(self) -> float:
        """Return how long the objective was broken."""
        return (self.end - self.start).total_seconds()


def find_episodes(
    store: Store, objectives: Iterable[Objective], goals: Sequence[GoalView], first: datetime, end: datetime
) -> list[Episode]:
    """Return the breaches of every bounded objective in (first, end], by beginning, with the goal that was there.

    A series is looked at in steps of its own sampling, a minute at least: breaches closer than three steps are one.
    """
    spans = store.samples.spans(first, end)
    episodes = [
        episode
        for objective in objectives
        if objective.kind.bounds_each_value
        for info in spans
        if objective.matches(info.series)
        for episode in _episodes_of(store, objective, info, goals, first, end)
    ]
    return sorted(episodes, key=lambda each: (each.start, each.objective, each.series))


def false_alarms(
    goals: Sequence[GoalView],
    episodes: Sequence[Episode],
    end: datetime,
    objectives: Iterable[Objective] | None = None,
) -> list[GoalView]:
    """Return goals that foretold a breach which did not come, by the time they had closed.

    Of `objectives`, where given, those count whose breaches have a beginning and an end, as the episodes do.
    """
    met = {episode.goal_id for episode in episodes}
    bounded = None if objectives is None else {each.name for each in objectives if each.kind.bounds_each_value}
    return [
        view
        for view in goals
        if _foretells(view)
        and (bounded is None or view.goal.objective in bounded)
        and not view.is_open
        and view.goal.goal_id not in met
        and view.goal.deadline < end
        and not _was_in_a_breach(view, episodes)
    ]


def _foretells(view: GoalView) -> bool:
    """Tell whether a goal says that a breach is to come, whatever rule set it: one to save foretells nothing."""
    foretells_nothing = view.goal.because.get("forecast") == {}
    return not view.goal.informs and not foretells_nothing and not view.goal.because.get("is_broken_now", False)


def _was_in_a_breach(view: GoalView, episodes: Sequence[Episode]) -> bool:
    """Tell whether a goal came while its objective was broken: a second goal for one breach is no false alarm."""
    return any(
        view.goal.is_about(each.objective, each.series)
        and view.goal.created_at <= each.end
        and view.since >= each.start
        for each in episodes
    )


def _episodes_of(
    store: Store, objective: Objective, info: SeriesInfo, goals: Sequence[GoalView], first: datetime, end: datetime
) -> Iterable[Episode]:
    step_s = max(SHORTEST_STEP_S, round(info.interval_s))
    steps = int((end - first).total_seconds() / step_s) + 1
    values = store.samples.frame([info.series], end, step_s, steps).values[0]
    with np.errstate(invalid="ignore"):
        broken = objective.broken_by(values)
    for begin, last in _runs(np.flatnonzero(broken)):
        start_at = end - timedelta(seconds=step_s * (steps - 1 - begin))
        end_at = end - timedelta(seconds=step_s * (steps - 1 - last))
        goal = _goal_for(goals, objective, info.series, start_at, end_at)
        lead_s = (start_at - goal.goal.created_at).total_seconds() if goal else None
        yield Episode(objective.name, info.series, start_at, end_at, goal.goal.goal_id if goal else None, lead_s)


def _runs(places: np.ndarray[Any, Any]) -> list[tuple[int, int]]:
    if not len(places):
        return []
    cuts = np.flatnonzero(np.diff(places) > GAP_STEPS)
    starts, ends = np.r_[places[0], places[cuts + 1]], np.r_[places[cuts], places[-1]]
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]


def _goal_for(
    goals: Sequence[GoalView], objective: Objective, series: str, start: datetime, end: datetime
) -> GoalView | None:
    """Return the earliest goal to prevent a breach that was open at some time from a horizon before it to its end."""
    horizon = timedelta(seconds=objective.horizon_s)
    fitting = [
        view
        for view in goals
        if not view.goal.informs
        and view.goal.is_about(objective.name, series)
        and view.goal.created_at <= end
        and (view.is_open or view.since >= start - horizon)
    ]
    return min(fitting, key=lambda view: view.goal.created_at, default=None)
