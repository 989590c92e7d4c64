"""When predictions come due: what matures in the future need not be looked for in every turn."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from functools import partial
from threading import Lock

from storage.engine import Engine

NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class Maturity:
    """When the rows of a table of predictions mature that are to be resolved, those under a condition.

    They are resolved in the order in which they mature: the newest resolved parts those that are open from the rest.
    Who writes alone reads both once, and follows what is written from then on.
    """

    def __init__(self, engine: Engine, table: str, condition: str, resolved: str) -> None:
        self._engine, self._table, self._condition, self._resolved = engine, table, condition, resolved
        self._open: set[datetime] | None = None
        self._newest = NEVER
        self._lock = Lock()

    def newest_resolved(self) -> datetime:
        """Return when the newest resolved row matured."""
        if not self._engine.is_alone:
            return self._read_newest()
        with self._lock:
            self._read_once()
            return self._newest

    def written(self, moments: Collection[datetime]) -> None:
        """Note that rows are written which mature at some moments: the table is written nowhere else."""
        self._engine.when_written(partial(self._note, set(moments), NEVER))

    def resolved(self, moments: Collection[datetime]) -> None:
        """Note that rows are resolved which matured at some moments."""
        self._engine.when_written(partial(self._note, set(), max(moments, default=NEVER)))

    def may_be_due(self, until: datetime) -> bool:
        """Tell whether a row that is open may mature up to a moment; always where others write as well."""
        if not self._engine.is_alone:
            return True
        with self._lock:
            return any(moment <= until for moment in self._read_once())

    def _note(self, opened: set[datetime], newest: datetime) -> None:
        with self._lock:
            self._newest = max(self._newest, newest)
            if self._open is not None:
                self._open = {moment for moment in self._open | opened if moment > self._newest}

    def _read_once(self) -> set[datetime]:
        if self._open is None:
            self._newest = self._read_newest()
            sql = f"SELECT DISTINCT matures_at FROM {self._table} WHERE matures_at > $newest AND {self._condition}"
            self._open = {moment for (moment,) in self._engine.rows(sql, {"newest": self._newest})}
        return self._open

    def _read_newest(self) -> datetime:
        newest: datetime | None = self._engine.rows(f"SELECT max(matures_at) FROM {self._resolved}")[0][0]
        return newest or NEVER
