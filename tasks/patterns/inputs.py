"""What the pattern room is given: a window of metrics and events, and how to look at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from storage.errors import ForeactError
from tasks.text import unit_of, value

Floats = NDArray[np.float64]
ResidualsOf = Callable[[NDArray[np.intp]], Floats]
"""Gives the one-step forecast errors (rows, n_steps) of some rows of a window."""

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
WEEK_S = 7 * DAY_S
# Inside the years 1 to 9999, which calendars can name.
EARLIEST_S, LATEST_S = -6.0e10, 2.5e11
_SHORTEST_STEP_S = 1e-3


@dataclass(frozen=True)
class SearchSettings:
    """How long to look back and how sure to be.

    `burst_s` is the gap below which events count as one. What is not for anybody to set: `false_discovery_rate` bounds
    the expected share of false findings among effects, sequences, seasons and co-movements, `recurrence_alpha` the
    chance that an irregular event type is called recurrent; `anomaly_threshold` is in usual largest moves.
    """

    min_occurrences: int = 3
    time_window_hours: float = 168.0
    timezone: str = "UTC"
    burst_s: float = 20 * 60.0
    max_findings_per_kind: int = 50

    false_discovery_rate: ClassVar[float] = 0.08
    recurrence_alpha: ClassVar[float] = 0.01
    effect_window_s: ClassVar[float] = 30 * 60.0
    sequence_window_s: ClassVar[float] = 30 * 60.0
    anomaly_threshold: ClassVar[float] = 1.3

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ForeactError(
                "patterns.unknown_timezone",
                f"There is no time zone named {self.timezone!r}.",
                "Use a name of the IANA list such as 'Europe/Berlin', or 'UTC'.",
            ) from error

    @property
    def window_s(self) -> float:
        return self.time_window_hours * HOUR_S

    @property
    def recurrence_window_s(self) -> float:
        """A weekly pattern needs four weeks of events to show itself, however short the configured window is."""
        return max(self.window_s, 4 * WEEK_S)


@dataclass(frozen=True)
class PatternInput:
    """Series on one regular grid and the events beside them.

    `values` is (n_series, n_steps), NaN where missing; its last column is at `end_s` (unix seconds) and columns are
    `step_s` apart. `event_types` and `event_times_s` are (n_events,) in any order, repeats allowed. `residuals`, where
    given, gives the one-step forecast errors of some rows, in the shape of their `values`; `units` are those recorded,
    by series. Shapes that disagree are refused with ForeactError.
    """

    names: Sequence[str]
    values: Floats
    end_s: float
    step_s: float
    event_types: Sequence[str] = ()
    event_times_s: Floats = field(default_factory=lambda: np.empty(0))
    residuals: ResidualsOf | None = None
    units: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=float)
        if values.size == 0:
            values = values.reshape(len(self.names), -1) if len(self.names) else np.empty((0, 0))
        object.__setattr__(self, "names", tuple(str(name) for name in self.names))
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "event_types", np.asarray(self.event_types, dtype=str).ravel())
        object.__setattr__(self, "event_times_s", np.asarray(self.event_times_s, dtype=float).ravel())
        self._refuse_bad_shapes()

    def _refuse_bad_shapes(self) -> None:
        shape = self.values.shape
        if len(shape) != 2 or shape[0] != len(self.names):
            raise _bad_shape(f"{len(self.names)} names do not fit values of shape {shape}")
        if len(self.event_types) != len(self.event_times_s):
            raise _bad_shape(f"{len(self.event_types)} event types, {len(self.event_times_s)} event times")
        start_s = self.end_s - self.step_s * shape[1]
        if not (self.step_s >= _SHORTEST_STEP_S and start_s > EARLIEST_S and self.end_s < LATEST_S):
            raise _bad_shape(f"step {self.step_s} s ending at {self.end_s} s is not a time grid")

    def in_words(self, row: int, amount: float) -> str:
        """Return an amount of a series as people read it in its unit."""
        return value(amount, unit_of(self.names[row], self.units))

    @cached_property
    def step_times_s(self) -> Floats:
        """Unix seconds of every column of `values`."""
        n_steps = self.values.shape[1]
        return self.end_s - self.step_s * np.arange(n_steps - 1, -1, -1, dtype=float)

    def events_between(self, start_s: float, end_s: float) -> dict[str, Floats]:
        """Return per event type its times in (start_s, end_s], sorted and without repeats; types sorted by name."""
        times = self.event_times_s
        inside = (times > start_s) & (times <= end_s)
        types = np.asarray(self.event_types)
        return {str(kind): np.unique(times[inside & (types == kind)]) for kind in np.unique(types[inside])}


def _bad_shape(what: str) -> ForeactError:
    return ForeactError("patterns.bad_shape", f"Pattern input refused: {what}.", "Pass arrays that fit together.")
