"""What the rules of the goals are given, and what they hand back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from storage.records import (
    Breach,
    FloatArray,
    Forecast,
    Frame,
    Goal,
    GoalType,
    Objective,
    ObjectiveKind,
    Pattern,
    SeriesIndex,
)
from tasks.drivers.settable_amounts import SpareAmount
from tasks.objectives.lateness import LateRun
from tasks.objectives.run_history import RunHistory
from tasks.text import unit_of

IntArray = NDArray[np.intp]

_SILENT_AFTER_S = 600.0
_SILENT_AFTER_GAPS = 5
_REST_S = 3_600.0
_FEWEST_RESTING = 3


@dataclass(frozen=True)
class WindowCount:
    """How many events of an SLO's last `window_s` seconds were good, of how many.

    Where these are shares of requests, each weighs as many as it had, and `requests` were made in all.
    """

    window_s: float
    good: float
    total: float
    requests: float | None = None


@dataclass(frozen=True)
class ObservedWindow:
    """A stretch of one series, oldest first, NaN where nothing was recorded; `end` is the moment of the last."""

    values: FloatArray
    step_s: float
    end: datetime

    @property
    def finite(self) -> FloatArray:
        """Return the recorded values, oldest first."""
        recorded: FloatArray = self.values[np.isfinite(self.values)]
        return recorded

    @property
    def span_s(self) -> float:
        """Return the time from the first recorded value to the end, 0 where there is none."""
        recorded = np.flatnonzero(np.isfinite(self.values))
        return 0.0 if len(recorded) == 0 else float(len(self.values) - recorded[0]) * self.step_s

    def tail(self, span_s: float) -> ObservedWindow:
        """Return the last `span_s` seconds, at least one step."""
        steps = max(1, min(len(self.values), round(span_s / self.step_s)))
        return ObservedWindow(self.values[-steps:], self.step_s, self.end)


@dataclass(frozen=True)
class Reading:
    """The last recorded value of a series, the median of its last three, and how old it is."""

    value: float
    settled: float
    age_s: float
    is_silent: bool

    def breaks(self, objective: Objective) -> bool:
        """Tell whether an objective is broken now: by the last value and not by that one spike alone."""
        return not (objective.is_met(self.value) or objective.is_met(self.settled))


@dataclass(frozen=True)
class Evidence:
    """All that a cycle knows when it sets goals; see the record types for units.

    `frames` are working windows at several step sizes, `forecasts` are by series, `hourly` holds hourly means of up
    to 62 days of the series that objectives name, `slo_windows` counts good events by objective, `spare` are the
    amounts above what was needed, `late_runs` what is foretold of open runs by objective and `runs` all that are known,
    `unfitted` says by objective why no response to its driver is known,
    `found_drivers` which driver was found for one that names none.
    """

    tick: datetime
    objectives: tuple[Objective, ...] = ()
    frames: tuple[Frame, ...] = ()
    forecasts: Mapping[str, Forecast] = field(default_factory=dict)
    breaches: tuple[Breach, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    hourly: Frame | None = None
    slo_windows: Mapping[str, tuple[WindowCount, ...]] = field(default_factory=dict)
    spare: tuple[SpareAmount, ...] = ()
    unfitted: Mapping[str, str] = field(default_factory=dict)
    found_drivers: Mapping[str, str] = field(default_factory=dict)
    late_runs: Mapping[str, tuple[LateRun, ...]] = field(default_factory=dict)
    runs: RunHistory = field(default_factory=RunHistory)

    def objective(self, name: str | None) -> Objective | None:
        """Return an objective by its name, None where it is gone."""
        return self._objectives.get(name or "")

    def series_of(self, objective: Objective) -> tuple[str, ...]:
        """Return every known series that an objective means, in sorted order."""
        return tuple(self._known.series[place] for place in self._known.meant(objective.measured))

    def heard(self, kind: ObjectiveKind) -> Iterator[tuple[Objective, str, Reading]]:
        """Return each objective of a kind, each series that it means and that is not silent, and the last reading."""
        for objective in self.objectives:
            for series in self.series_of(objective) if objective.kind is kind else ():
                reading = self.latest(series)
                if reading is not None and not reading.is_silent:
                    yield objective, series, reading

    @cached_property
    def _objectives(self) -> Mapping[str, Objective]:
        return {each.name: each for each in reversed(self.objectives)}

    @cached_property
    def _breaches(self) -> Mapping[tuple[str, str], Breach]:
        return {(each.objective, each.series): each for each in reversed(self.breaches)}

    @cached_property
    def _known(self) -> SeriesIndex:
        """Return the series that a frame or a breach is of, in sorted order."""
        names = {series for frame in self._all_frames for series in frame.series}
        return SeriesIndex(sorted(names | {breach.series for breach in self.breaches}))

    @property
    def _all_frames(self) -> tuple[Frame, ...]:
        return (*self.frames, self.hourly) if self.hourly is not None else self.frames

    def unit_of(self, series: str | None) -> str:
        """Return the unit of a series, "" where none is known."""
        recorded = next((frame.units for frame in self._all_frames if series in frame.units), None)
        return unit_of(series, recorded) if series else ""

    def breach_of(self, objective: str, series: str) -> Breach | None:
        """Return the predicted breach of an objective by a series, None where none was computed."""
        return self._breaches.get((objective, series))

    def rests_on_edge(self, objective: Objective, series: str) -> bool:
        """Tell whether a series rests on the edge that is still allowed, and was never known to go beyond.

        That a forecast lies as often a hair above as below the edge is then no news: a full pool stays full. It rests
        there where it has been nowhere else for the last hour, nor elsewhere for most of what is known of it.
        """
        values = [each.finite for each in self._windows(series)]
        if not values or any(bool(objective.broken_by(each).any()) for each in values):
            return False
        finest = min(self._windows(series), key=lambda each: each.step_s)
        on_edge, of_late = finest.finite == objective.bound, finest.tail(_REST_S).finite == objective.bound
        return len(of_late) >= _FEWEST_RESTING and bool(of_late.all()) and float(on_edge.mean()) > 0.5

    def window(self, series: str, span_s: float) -> ObservedWindow | None:
        """Return the last `span_s` seconds of a series from the finest frame that reaches so far back.

        Where no frame does, the one that reaches furthest serves. None where no frame knows the series.
        """
        windows = self._windows(series)
        long_enough = [each for each in windows if each.span_s >= span_s * 0.95]
        if long_enough:
            return min(long_enough, key=lambda each: each.step_s).tail(span_s)
        furthest = max(windows, key=lambda each: (each.span_s, -each.step_s), default=None)
        return furthest.tail(span_s) if furthest else None

    def latest(self, series: str) -> Reading | None:
        """Return the last recorded value of a series, None where there is none at all.

        A series is silent when it has been quiet for five of its usual gaps, and for ten minutes at least.
        """
        windows = [(window, np.flatnonzero(np.isfinite(window.values))) for window in self._windows(series)]
        spoken = [(self._age_s(window, recorded), window, recorded) for window, recorded in windows if len(recorded)]
        if not spoken:
            return None
        age_s, window, recorded = min(spoken, key=lambda each: each[0])
        last_three = window.values[recorded[-3:]].tolist()
        is_silent = age_s > _SILENT_AFTER_S and age_s > _SILENT_AFTER_GAPS * _usual_gap_s(window, recorded)
        return Reading(last_three[-1], median(last_three), age_s, is_silent)

    def _windows(self, series: str) -> list[ObservedWindow]:
        return [window for frame in self._all_frames if (window := _window_of(frame, series))]

    def _age_s(self, window: ObservedWindow, recorded: IntArray) -> float:
        steps_ago = len(window.values) - 1 - int(recorded[-1])
        return max(0.0, (self.tick - window.end).total_seconds()) + steps_ago * window.step_s


def _usual_gap_s(window: ObservedWindow, recorded: IntArray) -> float:
    return float(np.median(np.diff(recorded))) * window.step_s if len(recorded) > 1 else window.step_s


def _window_of(frame: Frame, series: str) -> ObservedWindow | None:
    return ObservedWindow(frame.row(series), frame.step_s, frame.end) if series in frame.index.places else None


@dataclass(frozen=True)
class Proposal:
    """A goal that a rule would set: `cause` names what it is about, so that rules of one goal type raise it once.

    `bound`, `side` and `baseline` are in the units of `series`; `probability` is that of a breach unless something is
    done; `deadline` is the predicted breach. `because` says rule, inputs and forecast in plain numbers. `period_s` is
    given where the cause comes back by itself, so that each of its occurrences may have a goal. `members` are the
    series where several are proposed as one.
    """

    cause: str
    description: str
    severity: float
    probability: float
    deadline: datetime
    because: Mapping[str, Any]
    objective: str | None = None
    series: str | None = None
    bound: float | None = None
    side: Literal["below", "above"] = "below"
    baseline: float | None = None
    period_s: float | None = None
    members: tuple[str, ...] = ()

    @classmethod
    def on(
        cls,
        objective: Objective,
        series: str | None,
        *,
        method: str,
        description: str,
        sentence: str,
        probability: float,
        deadline: datetime,
        inputs: Mapping[str, Any],
        forecast: Mapping[str, Any],
        is_broken_now: bool,
        baseline: float | None = None,
    ) -> Proposal:
        """Return a proposal to keep an objective on a series; None stands for all of its series together.

        `method` is the rule's in a few words, `sentence` says for people what it saw, `inputs` and `forecast` in
        numbers; what the objective itself says of bound, side and severity is added.
        """
        about = {"objective": objective.name, "series": series, "bound": objective.bound, "side": objective.side}
        return cls(
            cause=f"{objective.name}:{series or objective.metric}",
            description=description,
            severity=objective.severity,
            probability=probability,
            deadline=deadline,
            because={
                "rule": method,
                "sentence": sentence,
                "inputs": {**about, **inputs},
                "forecast": forecast,
                "is_broken_now": is_broken_now,
            },
            objective=objective.name,
            series=series,
            bound=objective.bound,
            side=objective.side,
            baseline=baseline,
        )


@dataclass(frozen=True)
class Standing:
    """Where a goal stands by measurement.

    `is_met` tells whether the objective holds now, `held_s` since when, `probability` how likely it breaks, `approach`
    (0 to 1) how much of the way from baseline to bound is done. `is_silent`: nothing is measured, so nothing is known.
    `is_over`: the occasion has passed, and what is known now is final. `series` is the one of several to begin with.
    """

    is_met: bool
    probability: float
    approach: float
    held_s: float
    statement: str
    is_silent: bool = False
    is_over: bool = False
    series: str | None = None


@dataclass(frozen=True)
class Rule:
    """A rule, named by its file: what goals of its type it would set, and how one that it set stands.

    Its goals lead to an act, unless it only `informs`: of what keeps happening, whether or not an objective minds.
    """

    name: str
    goal_type: GoalType
    propose: Callable[[Evidence], Iterable[Proposal]]
    standing: Callable[[Goal, Evidence], Standing]
    informs: bool = False
