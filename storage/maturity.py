"""When predictions come due: what matures in the future need not be looked for in every turn."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from threading import Lock

from storage.engine import Engine

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(9999, 1, 1, tzinfo=UTC)


class Maturity:
    """When the rows of a table of predictions mature that are to be resolved, those under a condition.

    They are resolved in the order in which they mature: the newest resolved parts those that are open from the rest.
    """

    def __init__(self, engine: Engine, table: str, condition: str, resolved: str) -> None:
        self._engine, self._table, self._condition, self._resolved = engine, table, condition, resolved
        self._written: set[datetime] = set()
        self._lock = Lock()

    def newest_resolved(self) -> datetime:
        """Return when the newest resolved row matured."""

        def read() -> datetime | None:
            newest: datetime | None = self._engine.rows(f"SELECT max(matures_at) FROM {self._resolved}")[0][0]
            return newest

        return self._engine.recall((self._resolved,), ("newest resolved", self._resolved), read) or NEVER

    def written(self, moments: Iterable[datetime]) -> None:
        """Note that rows are written which mature at some moments: the table is written nowhere else."""
        if self._engine.is_alone:
            with self._lock:
                self._written.update(moments)

    def may_be_due(self, until: datetime) -> bool:
        """Tell whether a row that is open may mature up to a moment; always where others write as well."""
        if not self._engine.is_alone:
            return True
        first = self._engine.recall((self._resolved,), ("first open", self._table), self._first_open)
        with self._lock:
            return min(self._written, default=LAST) <= until or first <= until

    def _first_open(self) -> datetime:
        newest = self.newest_resolved()
        with self._lock:
            self._written = {moment for moment in self._written if moment > newest}
        sql = f"SELECT min(matures_at) FROM {self._table} WHERE matures_at > $newest AND {self._condition}"
        return self._engine.rows(sql, {"newest": newest})[0][0] or LAST
