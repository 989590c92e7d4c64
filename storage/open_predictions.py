"""When predictions come due: what matures in the future need not be looked for in every turn."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from functools import partial
from threading import Lock
from typing import Generic, TypeVar

from storage.engine.protocol import Engine

T = TypeVar("T")

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 1, 1, tzinfo=UTC)


class OpenPredictions(Generic[T]):
    """What is open of a table of predictions, and when it matures.

    Predictions are resolved in the order in which they mature: the newest resolved parts those that are open from the
    rest. Who writes alone reads both once, and follows what is written from then on.
    """

    def __init__(
        self,
        engine: Engine,
        resolved: str,
        read_open: Callable[[datetime], Iterable[T]],
        matures_at: Callable[[T], datetime],
    ) -> None:
        """Bind the table of what is `resolved`; `read_open` reads what matures after a moment."""
        self._engine, self._resolved, self._read_open, self._matures_at = engine, resolved, read_open, matures_at
        self._open: list[T] | None = None
        self._newest = NEVER
        self._lock = Lock()

    def newest_resolved(self) -> datetime:
        """Return when the newest resolved row matured."""
        if not self._engine.is_alone:
            return self._read_newest()
        with self._lock:
            self._read_once()
            return self._newest

    def written(self, items: Collection[T]) -> None:
        """Note what is written: the table is written nowhere else."""
        self._engine.when_written(partial(self._note, items, NEVER))

    def resolved(self, moments: Collection[datetime]) -> None:
        """Note that rows are resolved which matured at some moments."""
        self._engine.when_written(partial(self._note, (), max(moments, default=NEVER)))

    def due(self, until: datetime) -> list[T] | None:
        """Return what is open and matures up to a moment, the first first; None where others write as well."""
        if not self._engine.is_alone:
            return None
        with self._lock:
            found = [item for item in self._read_once() if self._matures_at(item) <= until]
        return sorted(found, key=self._matures_at)

    def _note(self, items: Collection[T], newest: datetime) -> None:
        with self._lock:
            self._newest = max(self._newest, newest)
            if self._open is not None:
                self._open = [each for each in (*self._open, *items) if self._matures_at(each) > self._newest]

    def _read_once(self) -> list[T]:
        if self._open is None:
            self._newest = self._read_newest()
            self._open = list(self._read_open(self._newest))
        return self._open

    def _read_newest(self) -> datetime:
        newest: datetime | None = self._engine.rows(f"SELECT max(matures_at) FROM {self._resolved}")[0][0]
        return newest or NEVER
