"""The numbers of series that came in before, so that what comes again and again need not be read."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import date
from threading import Lock
from typing import Any

MOST_SERIES_REMEMBERED = 100_000


@dataclass
class SeriesNumbers:
    """The numbers of series that were recorded before, by their labels as they come in."""

    _numbers: dict[Hashable, int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _since: date | None = None

    def begin_day(self, day: date) -> None:
        """Begin anew once a day: a series that was silent for months may have been forgotten on disk meanwhile."""
        with self._lock:
            if day != self._since:
                self._numbers, self._since = {}, day

    def get(self, key: Hashable) -> int | None:
        """Return the number of a series that is on disk already, or None."""
        return self._numbers.get(key)

    def remember(self, recorded: Mapping[Any, int]) -> None:
        """Note series that are on disk now; when there are too many, begin anew."""
        with self._lock:
            if len(self._numbers) + len(recorded) > MOST_SERIES_REMEMBERED:
                self._numbers = {}
            self._numbers.update(recorded)
