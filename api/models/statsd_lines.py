"""StatsD lines, gathered until they are written: https://github.com/statsd/statsd/blob/master/docs/metric_types.md

Tags are those of DogStatsD (`|#env:prod`). What is kept between two writings is bounded, whatever is sent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

import numpy as np

from api.models.points import Key, Points, key_of, labels_of

MOST_SERIES = 10_000
MOST_VALUES = 200
"""Of one timer between two writings."""
MOST_SETS, MOST_MEMBERS = 100, 10_000
QUIET_S = 3_600.0
QUANTILES = {"p50": 50, "p90": 90, "p99": 99}
_LINE = re.compile(
    r"(?P<name>[^:|#\n]{1,200}):(?P<values>[^|\n]{1,1000})\|(?P<kind>c|g|ms|h|d|s)"
    r"(?:\|@(?P<rate>[\d.eE+-]+)|\|#(?P<tags>[^|]*)|\|[cTe]:?[^|]*)*"
)


@dataclass
class _Timer:
    """How often something was timed, and some of its times, each as likely as any other to be among them."""

    count: float = 0.0
    seen: int = 0
    total: float = 0.0
    largest: float = -math.inf
    values: list[float] = field(default_factory=list)

    def add(self, value: float, weight: float, chance: Random) -> None:
        self.count, self.total, self.seen = self.count + weight, self.total + value * weight, self.seen + 1
        self.largest = max(self.largest, value)
        if len(self.values) < MOST_VALUES:
            self.values.append(value)
            return
        place = chance.randrange(self.seen)
        if place < MOST_VALUES:
            self.values[place] = value


@dataclass
class StatsdBuffer:
    """What was sent since it was last taken: counts, gauges, times and sets, by name and tags."""

    counts: dict[Key, float] = field(default_factory=dict)
    counted_s: dict[Key, float] = field(default_factory=dict)
    gauges: dict[Key, float] = field(default_factory=dict)
    set_since: set[Key] = field(default_factory=set)
    timers: dict[Key, _Timer] = field(default_factory=dict)
    sets: dict[Key, set[int]] = field(default_factory=dict)
    chance: Random = field(default_factory=lambda: Random(0))

    def add(self, line: str, now_s: float) -> str:
        """Take a line in, at a moment of the monotonic clock; return why it was not, or nothing."""
        match = _LINE.fullmatch(line.strip())
        if match is None:
            return f"not a StatsD line: {line[:60]!r}"
        key, kind = key_of(match["name"].strip(), _tags(match["tags"] or "")), match["kind"]
        if not self._has_room(key):
            return f"more than {MOST_SERIES:,} series at a time"
        if kind == "s":
            return self._count_member(key, match["values"])
        try:
            rate = float(match["rate"] or 1)
            values = [(text[0] in "+-", float(text)) for text in match["values"].split(":")]
        except (ValueError, IndexError):
            return f"not a number: {line[:60]!r}"
        if not (0 < rate <= 1 and all(math.isfinite(value) for _, value in values)):
            return f"not a number or a rate: {line[:60]!r}"
        for is_signed, value in values:
            self._take(key, kind, value, is_signed, 1 / rate, now_s)
        return ""

    def take(self, elapsed_s: float, now_s: float) -> Iterator[tuple[Key, Points]]:
        """Yield what came in the last `elapsed_s` as one point a series, and begin anew; gauges are remembered.

        A counter gives `NAME_per_second`, 0 for an hour after it was last counted. A timer gives `NAME_p50`, `_p90`,
        `_p99`, `_max`, `_mean` and `NAME_per_second`; a set `NAME_count`.
        """
        counts, timers, sets = self.counts, self.timers, self.sets
        self.counted_s = {key: at_s for key, at_s in self.counted_s.items() if now_s - at_s <= QUIET_S}
        self.counts, self.timers, self.sets = dict.fromkeys(self.counted_s, 0.0), {}, {}
        for key, count in counts.items():
            yield _named(key, "_per_second", "1/s"), [(None, count / elapsed_s)]
        for key in self.set_since:
            yield key, [(None, self.gauges[key])]
        self.set_since = set()
        for key, timer in timers.items():
            yield from _of_timer(key, timer, elapsed_s)
        for key, members in sets.items():
            yield _named(key, "_count", ""), [(None, float(len(members)))]

    def _has_room(self, key: Key) -> bool:
        if key in self.counts or key in self.gauges or key in self.timers or key in self.sets:
            return True
        if self._size >= MOST_SERIES:
            # Gauges are kept for the sake of changes to them; those in use come first.
            self.gauges = {each: value for each, value in self.gauges.items() if each in self.set_since}
        return self._size < MOST_SERIES

    @property
    def _size(self) -> int:
        return len(self.counts) + len(self.gauges) + len(self.timers) + len(self.sets)

    def _count_member(self, key: Key, member: str) -> str:
        if key not in self.sets and len(self.sets) >= MOST_SETS:
            return f"more than {MOST_SETS} sets at a time"
        members = self.sets.setdefault(key, set())
        if len(members) < MOST_MEMBERS:
            members.add(hash(member))
        return ""

    def _take(self, key: Key, kind: str, value: float, is_signed: bool, weight: float, now_s: float) -> None:
        if kind == "c":
            self.counts[key] = self.counts.get(key, 0.0) + value * weight
            self.counted_s[key] = now_s
        elif kind == "g":
            # As in StatsD itself, a sign makes a change of it.
            self.gauges[key] = value + (self.gauges.get(key, 0.0) if is_signed else 0.0)
            self.set_since.add(key)
        else:
            self.timers.setdefault(key, _Timer()).add(value, weight, self.chance)


def _of_timer(key: Key, timer: _Timer, elapsed_s: float) -> Iterator[tuple[Key, Points]]:
    marks = np.percentile(timer.values, list(QUANTILES.values()))
    for name, value in zip(QUANTILES, marks, strict=True):
        yield _named(key, f"_{name}", ""), [(None, float(value))]
    yield _named(key, "_max", ""), [(None, timer.largest)]
    yield _named(key, "_mean", ""), [(None, timer.total / timer.count)]
    yield _named(key, "_per_second", "1/s"), [(None, timer.count / elapsed_s)]


def _named(key: Key, suffix: str, unit: str) -> Key:
    (_, name), *labels = labels_of(key)
    return key_of(f"{name}{suffix}", labels, unit)


def _tags(text: str) -> list[tuple[str, str]]:
    pairs = (each.partition(":") for each in text.split(",") if each)
    return sorted((name, value or "true") for name, _, value in pairs if name)
