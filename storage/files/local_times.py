"""Times without a zone, read by the clock of one: the hour that it shows twice is told apart by the order of rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo


@dataclass
class LocalTimes:
    """Reads the times of a file, row by row; counts those that it could not be sure of.

    Each series goes forward, or backward, in time: a doubled hour that follows on itself is the second one (the first,
    where the newest row comes first). A time that the clock jumps over is read by the clock before the jump.
    """

    zone: tzinfo
    jumped: int = 0
    _last: dict[Hashable, datetime] = field(default_factory=dict)
    _is_backward: dict[Hashable, bool] = field(default_factory=dict)
    _passes: dict[tuple[Hashable, date], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))

    def read(self, moment: datetime, series: Hashable) -> datetime:
        """Return the next time of a series in UTC; one with a zone is taken as it is."""
        utc = moment.astimezone(UTC) if moment.tzinfo else self._local(moment, series)
        last = self._last.get(series)
        if last is not None and utc != last:
            self._is_backward[series] = utc < last
        self._last[series] = utc
        return utc

    @property
    def unclear(self) -> int:
        """How many times lie in an hour shown twice of which the file holds only one: it may be either."""
        return sum(sum(passes) for passes in self._passes.values() if not all(passes))

    def told(self) -> str:
        """Return in words what could not be told, empty where all could."""
        parts = []
        if self.unclear:
            parts.append(
                f"{self.unclear} times lie in the hour that the clock of {self.zone} shows twice and the file has "
                "once: they were taken as its first"
            )
        if self.jumped:
            parts.append(
                f"{self.jumped} times do not exist on the clock of {self.zone}, which jumps over them: "
                "they were read by the clock before the jump"
            )
        return "; ".join(parts) + "." if parts else ""

    def _local(self, moment: datetime, series: Hashable) -> datetime:
        first, second = (moment.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        if first == second:
            return first
        if first > second:  # the clock jumps over it
            self.jumped += 1
            return first
        last = self._last.get(series)
        is_second = last is not None and first <= last
        if self._is_backward.get(series, False) and last is not None:
            is_second = second < last
        self._passes[series, moment.date()][is_second] += 1
        return second if is_second else first
