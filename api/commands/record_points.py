"""Points that other programs push: what can be recorded is, durable when this returns; the rest is named with why.

A pusher sends what it has, and what is refused it does not send again: one bad series must not cost all the others.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from api.commands.ingest import accepted
from api.facade import Facade
from api.models.points import METRIC, Key, Points, Pushed, identity, labels_of
from storage.errors import ForeactError
from storage.records import series_key
from storage.sample_window import micros, moment_at
from storage.samples import SampleColumns, SeriesInfo, series_id

REASONS_KEPT = 3
MOST_TOLD_CHARS = 80


@dataclass
class Taken:
    """How many points were recorded and refused, and why the first of those were."""

    recorded: int = 0
    refused: int = 0
    reasons: list[str] = field(default_factory=list)

    def refuse(self, count: int, reason: str) -> None:
        """Count points that cannot be taken."""
        self.refused += count
        if len(self.reasons) < REASONS_KEPT:
            self.reasons.append(reason)

    @property
    def refusal(self) -> ForeactError | None:
        """Return the refusal of what was not taken, or None."""
        if not self.refused:
            return None
        what = "Nothing was recorded" if not self.recorded else f"{self.recorded:,} were recorded"
        more = f"; and {self.refused - len(self.reasons):,} more" if self.refused > len(self.reasons) else ""
        return ForeactError(
            "points_refused",
            f"Of {self.recorded + self.refused:,} points {self.refused:,} were refused: "
            f"{'; '.join(self.reasons)}{more}. {what}.",
            "Correct what sends them; do not send the same again.",
        )


@dataclass
class _Columns:
    """What will be written: the points as columns, and the series among them that are new."""

    oldest_us: int
    newest_us: int
    now_us: int
    taken: Taken
    new: dict[Key, int] = field(default_factory=dict)
    series: dict[str, SeriesInfo] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)
    moments_us: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, place: int, key: Key, points: Points, number: int | None) -> None:
        for moment_us, value in points:
            if math.isnan(value):
                continue  # how these protocols say that there is no value
            if math.isinf(value):
                self.taken.refuse(1, f"item {place} ({_told(key)}): its value is infinite")
                continue
            at_us = self.now_us if moment_us is None else moment_us
            if not self.oldest_us <= at_us <= self.newest_us:
                self.taken.refuse(1, f"item {place} ({_told(key)}): {self._when(at_us)}")
                continue
            if number is None:
                number = self._introduce(key)
            self.numbers.append(number)
            self.moments_us.append(at_us)
            self.values.append(value)

    def _introduce(self, key: Key) -> int:
        metric, labels, unit = identity(key)
        name = series_key(metric, labels)
        self.series.setdefault(name, SeriesInfo(name, metric, labels, unit))
        self.new[key] = series_id(name)
        return self.new[key]

    def _when(self, at_us: int) -> str:
        side = "too far in the past" if at_us < self.oldest_us else "in the future"
        try:
            return f"{moment_at(at_us).isoformat()} is {side}"
        except OverflowError:
            return f"its time is {side}"


def record_points(facade: Facade, pushed: Pushed) -> Taken:
    """Write the points that can be taken, and tell which cannot; NaN, which is no value, is left out."""
    columns = _columns(facade, pushed)
    moments_us, numbers = (np.array(each, dtype=np.int64) for each in (columns.moments_us, columns.numbers))
    written = SampleColumns(columns.series, numbers, moments_us, np.array(columns.values, dtype=float))
    taken = columns.taken
    taken.recorded = facade.store.samples.append_columns(written)
    facade.series_numbers.remember(columns.new)
    facade.counters.add("samples", taken.recorded)
    facade.counters.add("samples_refused", taken.refused)
    return taken


def _columns(facade: Facade, pushed: Pushed) -> _Columns:
    now = facade.clock()
    oldest, newest = accepted(facade, now)
    columns = _Columns(micros(oldest), micros(newest), micros(now), Taken())
    facade.series_numbers.begin_day(now.date())
    known = facade.series_numbers.get
    for place, (key, points) in enumerate(pushed):
        if isinstance(points, str):
            columns.taken.refuse(1, f"item {place} ({_told(key)}): {points}")
            continue
        number = known(key)
        number = columns.new.get(key) if number is None else number
        try:
            columns.add(place, key, points, number)
        except ValueError as trouble:
            columns.taken.refuse(len(points), f"item {place} ({_told(key)}): {trouble}")
    return columns


def _told(key: Key) -> str:
    with suppress(ValueError):
        return dict(labels_of(key)).get(METRIC, "")[:MOST_TOLD_CHARS] or "without a name"
    return "unreadable"
